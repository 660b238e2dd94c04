"""Mistakes on the command line: one clear line for each that states the rule, and nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import small_cli

from seisfast.cli import main

folder, quiet = small_cli.folder, small_cli.quiet

# What the commands below have in common -> the rest of a command and what its error must say.
MISTAKES: dict[str, list[tuple[str, str]]] = {
    "": [
        ("", r"\"verb\" to be one of \{simulate,train,evaluate,predict,plot"),
        ("invert", "invalid choice: 'invert'"),
        ("train --nosuch 1", "unrecognized arguments: --nosuch"),
        ("train --lr fast", "--lr: Expected a float. Got value: fast"),
        ("train --velocity_range 3", "--velocity_range: not a valid value: 3"),
        ("train --config nowhere.yaml", "--config: File does not exist: .*nowhere.yaml"),
        ("train --data {f}/data", "--run is needed"),
        ("train --run {f}/runs/seisinvnet --data {f}/data", "already holds a run"),
        ("info --shape 0 5", "shape must be an integer of at least 1, got 0"),
        ("info --shape 5", "--shape: expected 2 arguments"),
        ("info --boundary rigid", "--boundary must be cpml or sponge"),
    ],
    "train --run {t}/run": [
        ("", "give either --data .* or --geology"),
        ("--data {f}/data --geology seisinv", "give either --data .* or --geology"),
        ("--data {f}/data --repeats 2", r"--repeats is for endless data \(--geology\), got 2 with --data"),
        ("--geology seisinv --survey seisinv --repeats 0", "repeats must be at least 1, got 0"),
        ("--data {f}/data --count 10", r"--count is for endless data \(--geology\), got 10 with --data"),
        ("--data {f}/data --validation_count 5", "--validation_count is for endless data .* got 5 with --data"),
        (
            "--geology seisinv --survey seisinv --repeats 2 --count 1000",
            "count must be a multiple of batch_size .* such as 996",
        ),
        ("--data {f}/nowhere", "folder does not exist"),
        ("--data {f}", "has no partner"),
        ("--data {f}/data --lr -1", "lr must be positive and finite, got -1"),
        ("--data {f}/data --network resnet", "network must be one of seisinvnet"),
        ("--data {f}/data --network_options.widht 1", "network_options do not fit seisinvnet: .*'widht'"),
        ("--data {f}/data --loss_options.window 3", r"loss l2_ssim has the options \['windows', .*got \['window'\]"),
        ("--data {f}/data --resume", "there is no run to resume"),
        ("--geology seisinv", "--survey is needed"),
        ("--geology marmousi --survey seisinv", "--geology must be one of seisinv, .*style-b, got 'marmousi'"),
        (
            "--geology seisinv --geology_options.depth 3 --survey seisinv",
            "--geology_options: SeisInv has no \\['depth'\\]; it has shape, velocity, interfaces",
        ),
    ],
    "simulate": [
        ("", "give either --geology .* or --velocity"),
        ("--geology seisinv --survey seisinv", "--output is needed"),
        ("--geology seisinv --survey seisinv --output {t}/d --count 0", "count must be at least 1"),
        (
            "--geology seisinv --survey seisinv --output {t}/d --compare {f}/record.npy",
            "--compare belongs to --velocity, not to --geology",
        ),
        ("--velocity {f}/model.npy --survey openfwi", "give --output .* --compare .* or both"),
        ("--velocity {f}/model.npy --survey openfwi --output {t}/d.txt", "must end in .npy"),
        ("--velocity {f}/model.npy --survey openfwi --compare {f}/record.npy", r"must be \[5, 1000, 24\]"),
    ],
    "simulate --survey openfwi --output {t}/d.npy": [
        ("--velocity {f}/nowhere.npy", "--velocity: there is no file"),
        ("--velocity {f}/text.npy", "text.npy is not a .npy array"),
        ("--velocity {f}/words.npy", "one array of real numbers"),
        ("--velocity {f}/records.npy", r"must hold \[nz, nx\]"),
    ],
    "simulate --velocity {f}/model.npy --output {t}/d.npy": [
        ("", "--survey is needed"),
        ("--survey kaggle", "--survey must be seisinv, openfwi"),
        ("--survey no.json", "there is no file no.json"),
        ("--survey {f}/broken.json", "is not JSON"),
        ("--survey {f}/list.json", "must hold an object"),
        ("--survey {f}/survey.json --survey_options.nt 3", "belong to the presets"),
        ("--survey openfwi --survey_options.dx 3", "--survey_options: .*unexpected keyword argument 'dx'"),
        ("--survey openfwi --sources 0:99", "--sources must name columns between 0 and 23, got '0:99'"),
        ("--survey openfwi --sources 5", "--sources must be START:STOP or START:STOP:STEP in whole columns, got '5'"),
        ("--survey openfwi --receivers 9:3", "--receivers must name columns between 0 and 23, got '9:3'"),
        ("--survey openfwi --depth 3", "--depth is the row of"),
        ("--survey openfwi --frequency -3", "frequency must be positive and finite, got -3"),
    ],
    "predict --output {t}/v.npy": [
        ("--records {f}/record.npy", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--records is needed"),
        ("--checkpoint {f}/runs --records {f}/record.npy", "there is no checkpoint at"),
        ("--checkpoint {f}/model.npy --records {f}/record.npy", "is not a checkpoint"),
    ],
    "predict --checkpoint {f}/runs/seisinvnet --output {t}/v.npy": [
        ("--records {f}/turned.npy", "in another order"),
        (
            "--records {f}/model.npy",
            r"records must be \[shots, time, receivers\] = \[2, 40, 8\], .*got shape \[20, 24\]",
        ),
        ("--records {f}/record.npy --truth {f}/models.npy", r"the true models must be \[20, 24\]"),
        (
            "--records {f}/record.npy --truth {f}/model.npy --preset kaggle",
            "preset must be one of seisinv, openfwi, .*got 'kaggle'",
        ),
        ("--records {f}/records.npy --index 5", "--index must lie between 0 and 4"),
    ],
    "evaluate --output {t}/out": [
        ("--data {f}/data", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--data is needed"),
        ("--checkpoint {f}/runs/seisinvnet {f}/runs/seisinvnet --data {f}/data", "--checkpoint names .*best.pt twice"),
        (
            "--checkpoint {f}/runs/seisinvnet --data {f}/data --split some",
            "--split: Expected .*'test', 'validation', 'train', 'all'.* Got value: some",
        ),
        (
            "--checkpoint {f}/runs/seisinvnet --data {f}/data --preset kaggle",
            "preset must be one of seisinv, openfwi, .*got 'kaggle'",
        ),
        ("--checkpoint {f}/runs/seisinvnet --data {f}/data --examples 0", "examples must be at least 1"),
    ],
    "plot --output {t}/a.png": [
        ("", "give one of --velocity, --records and --runs"),
        ("--velocity {f}/model.npy --records {f}/record.npy", "give one of --velocity, --records and --runs"),
        ("--records {f}/record.npy --predicted {f}/model.npy", "--predicted needs --velocity"),
        ("--velocity {f}/model.npy --profiles", "--profiles needs --predicted"),
        ("--velocity {f}/model.npy --cmap nosuch", "must be known to matplotlib, which has no colour map 'nosuch'"),
        ("--records {f}/model.npy", r"must hold \[shots, time, receivers\]"),
        ("--records {f}/record.npy --shots 7", "shots must lie between 0 and 1"),
        ("--runs {f}/data", "no training log"),
        ("maps", "invalid choice: 'maps'"),
    ],
    "plot features --output {t}/a.png": [
        ("--data {f}/data", "--checkpoint is needed"),
        ("--checkpoint {f}/runs/seisinvnet", "--data is needed"),
        ("--checkpoint {f}/runs --data {f}/data", "there is no checkpoint at"),
        ("--checkpoint {f}/runs/convbaseline --data {f}/data", "need SeisInvNet, .* holds a ConvBaseline"),
        ("--velocity {f}/model.npy", "takes --checkpoint and --data, not --velocity"),
        ("--profiles", "takes --checkpoint and --data, not --profiles"),
        ("--index 0", "takes --checkpoint and --data, not --index"),
        ("--perc 90", "takes --checkpoint and --data, not --perc"),
    ],
    "plot features --checkpoint {f}/runs/seisinvnet --output {t}/a.png": [
        ("--data {f}/nowhere.npy", "--data: there is no file"),
        ("--data {f}/text.npy", "text.npy is not a .npy array"),
        ("--data {f}/turned.npy", "in another order"),
        ("--data {f}/model.npy", r"must hold \[shots, time, receivers\] or a batch"),
        ("--data {f}/holes.npy", "records must be finite"),
        ("--data {f}/records.npy --split test", "--split belongs to --data that is a folder"),
        ("--data {f}/records.npy --count 6", "--count must be at most the 5 models of .*records.npy, got 6"),
        ("--data {f}/data --count 3", "--count must be at most the 2 models of the test part of .*data, got 3"),
        ("--data {f}/data --count 0", "--count must be at least 1, got 0"),
        ("--data {f}/data --count some", "--count: not a valid value: some"),
        ("--data {f}/data --batch_size 0", "--batch_size must be at least 1, got 0"),
        ("--data {f}/data --split some", "--split: not a valid value: some"),
        ("--data {f}/data --cmap nosuch", "no colour map 'nosuch'"),
    ],
    "plot wavefield --output {t}/a.gif": [
        ("", "--velocity is needed"),
        ("--velocity {f}/model.npy", "--survey is needed"),
        ("--velocity {f}/model.npy --records {f}/record.npy", "takes --velocity and --survey, not --records"),
        ("--velocity {f}/model.npy --shots 1", "takes --velocity and --survey, not --shots"),
        ("--checkpoint {f}/runs/seisinvnet", "--checkpoint belongs to the feature maps"),
        ("--velocity {f}/nowhere.npy --survey seisinv", "--velocity: there is no file"),
        ("--velocity {f}/holes.npy --survey seisinv", "velocity must be finite and positive, got nan"),
        ("--velocity {f}/model.npy --survey kaggle", "--survey must be seisinv, openfwi"),
    ],
    "plot wavefield --velocity {f}/models.npy --survey {f}/survey.json --output {t}/a.gif": [
        ("--index 5", "--index must lie between 0 and 4"),
        ("--shot 2", "--shot must lie between 0 and 1, got 2"),
        ("--shot -1", "--shot must lie between 0 and 1, got -1"),
        ("--every 0", r"--every must lie between 1 and 39 \(of 40 samples\), got 0"),
        ("--every 40", r"--every must lie between 1 and 39 \(of 40 samples\), got 40"),
        ("--every some", "--every: not a valid value: some"),
        ("--fps 0", r"--fps must lie in \(0, 50\], got 0"),
        ("--fps 51", r"--fps must lie in \(0, 50\], got 51"),
        ("--perc 0", r"--perc must lie in \(0, 100\], got 0"),
        ("--cmap nosuch", "no colour map 'nosuch'"),
        ("--device tpu", 'device must be "auto", "cpu", "cuda" or "cuda:N", got \'tpu\''),
    ],
    "plot wavefield --velocity {f}/model.npy --survey {f}/survey.json": [
        ("", "--output is needed"),
        ("--output {t}/a.avi", "must end in .gif, .mp4, .png, .pdf or .svg, got .*a.avi"),
        ("--output {t}/a.png --fps 5", "--fps belongs to .gif and .mp4, --output is .*a.png"),
    ],
    "plot dataset --output {t}/a.png": [
        ("", "give --data .*, --velocity .*, --geology .*, or several of them"),
        ("--records {f}/record.npy", "takes --data, --velocity and --geology, not --records"),
        ("--data {f}/data --survey seisinv", "takes --data, --velocity and --geology, not --survey"),
        ("--data {f}/data --index 0", "takes --data, --velocity and --geology, not --index"),
        ("--data {f}/data --checkpoint {f}/runs/seisinvnet", "--checkpoint belongs to the feature maps"),
        ("--data {f}/data --shot 0", "--shot belongs to the wavefield"),
        ("--data {f}/nowhere", "folder does not exist"),
        ("--data {f}/nowhere.json", "No such file or directory: .*nowhere.json"),
        (
            "--data {f}/survey.json",
            'survey.json does not hold statistics of seisfast: .*format "seisfast statistics 1"',
        ),
        ("--data {f}/broken.json", "broken.json does not hold statistics of seisfast"),
        ("--data {f}/data --split test --count 3", "count must be at most the 2 models of .*data, got 3"),
        ("--data {f}/data --count 0", "count must be an integer of at least 1, got 0"),
        ("--data {f}/data --split some", "--split: not a valid value: some"),
        ("--data {f}/data {f}/data", "--data names .*data twice"),
        ("--data {f}/data --seed 1", "--seed belongs to --geology"),
        ("--data {f}/data --statistics {t}/a.txt", "--statistics: the name must end in .json, got .*a.txt"),
        ("--data {f}/data --geology seisinv --statistics {t}/a.json", "writes the numbers of one set, got 2 sets"),
        ("--velocity {f}/models.npy --split test", "--split belongs to --data that is a folder"),
        ("--velocity {f}/models.npy --with_records", "--with_records belongs to --data that is a folder"),
        ("--velocity {f}/models.npy --geology_options.shape [8,8]", "--geology_options belongs to --geology"),
        ("--velocity {f}/models.npy --count 6", "count must be at most the 5 models of .*models.npy, got 6"),
        ("--velocity {f}/models.npy --step -1", "step must be at least 0 m/s, got -1"),
        ("--velocity {f}/models.npy --bin_width 0", "bin_width must be positive and finite, got 0"),
        ("--velocity {f}/models.npy --spacing 0", "spacing must be positive and finite, got 0"),
        ("--velocity {f}/models.npy --cmap nosuch", "no colour map 'nosuch'"),
        ("--velocity {f}/holes.npy", "models must be finite and positive, got nan .* model 0 of .*holes.npy"),
        ("--velocity {f}/models.npy {f}/holes.npy", r"one shape, got \[20, 24\] in .* and \[40, 8\] in .*holes.npy"),
        ("--velocity {f}/nowhere.npy", "there is no file .*nowhere.npy"),
        ("--geology nosuch", "--geology must be one of .*seisinv.* got 'nosuch'"),
        ("--geology seisinv --count -1", "count must be an integer of at least 1, got -1"),
    ],
    "plot --velocity {f}/model.npy": [
        ("--output {t}/a.png --seed 1", "--seed belongs to the data set: seisfast plot dataset --seed"),
        ("--output {t}/a.png --with_records", "--with_records belongs to the data set"),
        ("--output {t}/a.png --data {f}/data", "--data belongs to the feature maps"),
        (
            "{f}/models.npy --output {t}/a.png",
            "--velocity must name one file or folder, unless for plot dataset, got 2",
        ),
        ("--output {t}/a.png --shot 1", "--shot belongs to the wavefield: seisfast plot wavefield"),
        ("--output {t}/a.png --checkpoint {f}/runs/seisinvnet", "--checkpoint belongs to the feature maps"),
        ("", "--output is needed"),
        ("--output {t}/a.gif", "must end in .png, .pdf or .svg"),
    ],
}


@pytest.mark.parametrize(
    ("command", "message"),
    [(f"{begin} {rest}", message) for begin, cases in MISTAKES.items() for rest, message in cases],
)
def test_a_mistake_is_one_clear_line(
    command: str, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(path.name for path in folder.rglob("*"))
    arguments = command.format(f=folder, t=tmp_path).split()
    try:
        code = main(arguments)
    except SystemExit as stop:  # what the parser itself refuses
        code = stop.code  # type: ignore[assignment]
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("seisfast")
    assert "error: " in line
    assert re.search(message, line), line
    assert list(tmp_path.iterdir()) == [], "nothing is written"
    assert sorted(path.name for path in folder.rglob("*")) == before
