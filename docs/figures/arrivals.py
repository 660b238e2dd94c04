"""Prints the table of first arrivals in docs/geology.md: how early our models answer beside the released ones.

python docs/figures/arrivals.py [MODELS]    of each family, 100 unless told otherwise; about 5 minutes on one core
"""

from __future__ import annotations

import sys

import seisfast as sf

SHARE = 0.05
"""An arrival is the first sample with this share of the largest amplitude of its trace."""


def main(count: int) -> None:
    survey = sf.Survey.openfwi()
    print("family, mean, median, standard deviation in ms")
    for name in sf.geology.OPENFWI_NAMES:
        records = sf.simulate(sf.geology.build(name)(range(count)), survey).abs()
        times = (records >= SHARE * records.amax(2, keepdim=True)).float().argmax(2).float() * survey.dt * 1e3
        print(f"{name}, {times.mean():.0f}, {times.median():.0f}, {times.std():.0f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
