// Owns the order in which the bands of a shot take their time steps, and the threads that share a shot.
//
// A band may take a step when its neighbours have taken the one before. So a thread need not finish a step everywhere:
// it goes through its bands on a slope, `depth` steps on one band while the next is in the cache. Threads that share a
// shot begin at the edge where their slabs meet and work away from it; one that cannot go on does what is ready in
// another's slab. So a thread that the machine has stopped holds up one part of the grid, and within a sweep the rest
// goes on for as many steps as it is parts away. On a periodic grid all bands take one step after the other, in a ring.
#pragma once
#include "acoustic/cpu_medium.h"
#include "common/crew.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// How a grid is cut into parts for several threads: a band each, but the bands of a layer of z are one part, for its
// recursion runs ahead of them row by row. One thread alone has one part.
struct Cut {
  int nz, bands, parts;
  Span single;  // bands that are parts of their own

  Cut(int nz, int bands, Span free, bool shared)
      : nz(nz), bands(bands), parts(1), single{(free.begin + kBand - 1) / kBand, free.end / kBand} {
    if (single.end > bands) single.end = bands;
    if (!shared || single.size() <= 0)
      single = {bands, bands};
    else
      parts = above() + single.size() + (single.end < bands);
  }
  Span bands_of(int part) const {
    const int band = single.begin + part - above();
    return band < single.begin ? Span{0, single.begin}
           : band < single.end ? Span{band, band + 1}
                               : Span{single.end, bands};
  }
  int part_of(int band) const {
    return band < single.begin ? 0 : above() + (band < single.end ? band : single.end) - single.begin;
  }
  Span rows_of(int part) const {
    const Span b = bands_of(part);
    return {band_rows(b.begin, bands, nz).begin, band_rows(b.end - 1, bands, nz).end};
  }

 private:
  int above() const { return single.begin > 0; }
};

// The share of one thread, and what it finds elsewhere.
class Slab {
 public:
  Slab(const Cut& cut, bool ring, int depth, Crew& crew, int member, int members)
      : cut(cut), crew(crew), members(members), ring(ring), depth(ring ? 1 : depth),
        direction(members > 1 && member % 2 == 0 ? -1 : 1),
        mine{int(int64_t(cut.parts) * member / members), int(int64_t(cut.parts) * (member + 1) / members)} {}

  // item(i, band) for every band of the grid and every step i < count, each after its neighbours' step i - 1.
  template <class Item>
  void sweep(int count, Item item) {
    if (members == 1) return slope({0, cut.bands}, count, item);
    auto step = [&](int i, int part) {
      const Span b = cut.bands_of(part);
      for (int band = b.begin; band < b.end; ++band) item(i, band);
    };
    slope(mine, count, [&](int i, int part) {
      until(part, tick + i + 1, [&] { return attempt(part, i, step) || help(count, step); });
    });
    for (int part = 0; part < cut.parts; ++part) until(part, tick + count, [&] { return help(count, step); });
    tick += count;
  }

  // The rows of a band moved `reach` down, within its part: after all bands of it, every row has been there once.
  Span ahead(Span band, int reach) const {
    const Span rows = cut.rows_of(cut.part_of(band.begin / kBand));
    auto clamp = [rows](int row) { return row > rows.end ? rows.end : row; };
    return {band.begin == rows.begin ? band.begin : clamp(band.begin + reach), clamp(band.end + reach)};
  }

 private:
  // act(i, which) on a slope, `depth` steps on one while the next comes.
  template <class Act>
  void slope(Span range, int count, Act act) const {
    const int width = range.size();
    for (int begin = 0; begin < count; begin += depth) {
      const int steps = begin + depth < count ? depth : count - begin;
      for (int diagonal = 0; diagonal < width + steps - 1; ++diagonal)
        for (int i = diagonal < width ? 0 : diagonal - width + 1; i < steps && i <= diagonal; ++i)
          act(begin + i, direction > 0 ? range.begin + diagonal - i : range.end - 1 - diagonal + i);
    }
  }

  // Acts until a part has been done so often; waits where there is nothing to do.
  template <class Act>
  void until(int part, int64_t ticks, Act act) const {
    for (int64_t seen = crew.changes(); crew.done(part) < ticks; seen = crew.changes())
      if (!act()) crew.wait(seen);
  }

  // Step i of a part, when it is its turn and nobody is at it.
  template <class Step>
  bool attempt(int part, int i, Step step) {
    const int64_t ticks = tick + i;
    for (const int beside : {part - 1, part + 1}) {
      const int other = ring ? (beside + cut.parts) % cut.parts : beside;
      if (other >= 0 && other < cut.parts && crew.done(other) < ticks) return false;
    }
    if (!crew.take(part, ticks)) return false;
    step(i, part);
    crew.finish(part);
    return true;
  }

  // A step of this sweep that is ready anywhere.
  template <class Step>
  bool help(int count, Step step) {
    for (int part = 0; part < cut.parts; ++part) {
      const int64_t i = crew.done(part) - tick;
      if (i >= 0 && i < count && attempt(part, int(i), step)) return true;
    }
    return false;
  }

  const Cut cut;
  Crew& crew;
  int members;
  bool ring;
  int depth, direction;
  Span mine;
  int64_t tick = 0;  // steps of the sweeps before, shared ones only
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
