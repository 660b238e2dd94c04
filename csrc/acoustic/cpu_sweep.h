// Owns the order in which the bands of a shot take their time steps, and the threads that share a shot.
//
// A band may take a step when its neighbours have taken the one before. So a thread need not finish a step everywhere:
// it goes through its bands on a slope, `depth` steps on one band while the next is in the cache, and several threads,
// each with a slab of bands, meet at the slabs' edges only. Neighbouring threads start at their common edge and work
// away from it, and nobody waits for long. On a periodic grid all bands take one step after the other, in a ring.
#pragma once
#include "acoustic/cpu_medium.h"
#include "common/crew.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {

// The bands of one thread of a crew.
class Slab {
 public:
  // `bands` of kBand rows each, but the last, which ends at row nz; slabs end only in the rows `free`.
  Slab(int nz, int bands, Span free, bool ring, int depth, Crew& crew, int member, int members)
      : crew(crew), member(member), members(members), ring(ring), depth(ring ? 1 : depth),
        direction(member % 2 ? 1 : -1),
        mine{border(bands, free, member, members), border(bands, free, member + 1, members)},
        rows{mine.begin * kBand, mine.end == bands ? nz : mine.end * kBand} {
    if (members == 1) direction = 1;
  }

  // How many slabs of about two bands a grid has room for.
  static int most(int bands, Span free) {
    const Span allowed = borders(free);
    const int met = allowed.size() > 0 ? allowed.size() / 2 + 1 : 1, wide = bands / 2;
    return wide < 1 ? 1 : met < wide ? met : wide;
  }

  // item(i, band) for every band of this slab and every step i < count, each after its neighbours' step i - 1.
  template <class Item>
  void sweep(int count, Item item) {
    const int width = mine.size();
    for (int begin = 0; begin < count; begin += depth) {
      const int steps = begin + depth < count ? depth : count - begin;
      for (int diagonal = 0; diagonal < width + steps - 1; ++diagonal)
        for (int i = diagonal < width ? 0 : diagonal - width + 1; i < steps && i <= diagonal; ++i) {
          const int band = direction > 0 ? mine.begin + diagonal - i : mine.end - 1 - diagonal + i;
          wait(band, tick + begin + i);
          item(begin + i, band);
          post(band, tick + begin + i + 1);
        }
    }
    tick += count;
  }

  // The rows of a band moved `reach` ahead in the order of the sweep: after all bands, every row has been there once.
  Span ahead(Span band, int reach) const {
    auto clamp = [this](int row) { return row < rows.begin ? rows.begin : row > rows.end ? rows.end : row; };
    if (direction > 0)
      return {band.begin == rows.begin ? band.begin : clamp(band.begin + reach), clamp(band.end + reach)};
    return {clamp(band.begin - reach), band.end == rows.end ? band.end : clamp(band.end - reach)};
  }

 private:
  // Bands at whose beginning slabs may meet.
  static Span borders(Span free) { return {(free.begin + kBand - 1) / kBand, free.end / kBand}; }
  static int border(int bands, Span free, int member, int members) {
    if (member == 0) return 0;
    if (member == members) return bands;
    const int even = int(int64_t(bands) * member / members);
    const int least = borders(free).begin + member - 1, most = borders(free).end - (members - 1 - member);
    return even < least ? least : even > most ? most : even;
  }

  void wait(int band, int64_t ticks) const {
    if (members == 1) return;
    if (band == mine.begin && (ring || member > 0)) crew.wait_for(crew.last((member + members - 1) % members), ticks);
    if (band == mine.end - 1 && (ring || member + 1 < members))
      crew.wait_for(crew.first((member + 1) % members), ticks);
  }
  void post(int band, int64_t ticks) const {
    if (members == 1) return;
    if (band == mine.begin) crew.post(crew.first(member), ticks);
    if (band == mine.end - 1) crew.post(crew.last(member), ticks);
  }

  Crew& crew;
  int member, members;
  bool ring;
  int depth, direction;
  Span mine, rows;
  int64_t tick = 0;
};

}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
