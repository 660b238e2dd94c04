#include "acoustic/plan.h"

#include <algorithm>
#include <vector>

#include "acoustic/onchip.h"
#include "acoustic/plain.h"

namespace seisfast {
namespace {

std::string number(int64_t n) { return std::to_string(n); }

// Cells across the widest strip, `dead` columns of padding at the right edge included.
template <class T>
int widest_strip(const Acoustic<T>& p, int dead) {
  const Grid& g = p.grid;
  if (p.sponge) return 0;
  return std::max({strip_cells(g.top, p.reach()), strip_cells(g.bottom, p.reach()), strip_cells(g.left, p.reach()),
                   g.right ? up4(g.right + p.reach() + dead) : 0});
}

// Sets tiling.strip and checks what every on-chip engine needs.
template <class T>
std::string prepare(const Acoustic<T>& p, Tiling& tiling) {
  const int dead = up4(p.grid.nx_p()) - p.grid.nx_p(), widest = widest_strip(p, dead);
  tiling.strip = p.sponge ? 0 : widest <= kStrip && sizeof(T) == 4 ? kStrip : kWideStrip;
  if (widest > kWideStrip)
    return "a layer with the reach of the stencil is " + number(widest) + " cells, on chip at most " +
           number(kWideStrip);
  if (p.vmin_gradient) return "Sponge(vmin_gradient=True) keeps a second field";
  return "";
}

// Whether the largest block fits the threads, and the strip lines find one thread each.
template <class T>
std::string check_block(const Acoustic<T>& p, bool adjoint, const Tiling& tiling) {
  const Fit f = fit(sizeof(T), p.reach(), tiling.strip, adjoint);
  const int groups = up4(tiling.columns) / 4;
  if (p.per_shot > f.threads)
    return number(p.per_shot) + " sources are fired together, on chip at most " + number(f.threads);
  if (groups > f.threads || (tiling.rows + f.threads / groups - 1) / (f.threads / groups) > f.rows)
    return number(tiling.rows) + " x " + number(tiling.columns) + " cells exceed the registers of a block (" +
           number(int64_t(f.threads) * f.rows * 4) + " cells)";
  for (int block = 0; block < tiling.blocks(); ++block) {
    const Tile t = tile_of(p, tiling, block);
    if (p.sponge) {
      if (t.rows < p.reach() || t.columns < p.reach()) return "a block has fewer rows than the stencil reaches";
      continue;
    }
    const int lines_z = ((t.top > 0) + (t.bottom > 0)) * t.width, lines_x = ((t.left > 0) + (t.right > 0)) * t.rows;
    if (std::max(lines_z, lines_x) > f.threads) return "the layers are longer than the threads of a block";
    if (t.strip_rows > t.rows || t.strip_columns > t.width || t.rows < p.reach())
      return "the layers with the reach of the stencil do not fit in a block";
    // A layer that a block meets only in part belongs to another block.
    const Grid& g = p.grid;
    const bool cuts_z = (t.z0 > 0 && t.z0 < strip_cells(g.top, p.reach())) ||
                        (t.z0 + t.rows < g.nz_p() && t.z0 + t.rows > g.nz_p() - strip_cells(g.bottom, p.reach()));
    const bool cuts_x = (t.x0 > 0 && t.x0 < strip_cells(g.left, p.reach())) ||
                        (t.x0 + t.columns < g.nx_p() && t.x0 + t.columns > g.nx_p() - strip_cells(g.right, p.reach()));
    if (cuts_z || cuts_x) return "a block ends inside a layer";
  }
  return "";
}

// Time of a step in rows of four cells per thread: rounds of blocks over the chip times a block's rows, its layers and
// barriers (worth about 6), the barrier of a cluster (a fifth).
template <class T>
double slab_cost(const Acoustic<T>& p, bool adjoint, const Tiling& tiling, const Limits& limits) {
  const int bands = fit(sizeof(T), p.reach(), tiling.strip, adjoint).threads / (up4(tiling.columns) / 4);
  const int64_t blocks = int64_t(tiling.blocks()) * p.count;
  const double rounds = double((blocks + limits.processors - 1) / limits.processors);
  return rounds * ((tiling.rows + bands - 1) / bands + 6) * (tiling.engine == Engine::cluster ? 1.2 : 1.0);
}

}  // namespace

template <class T>
int64_t workspace_elements(const Acoustic<T>& p, const Tiling& tiling, Task task) {
  return tiling.engine == Engine::plain ? plain::layout(p, task).size
                                        : onchip::Parts<T>(p, tiling, task == Task::adjoint).size();
}

template <class T>
int shared_bytes(const Acoustic<T>& p, const Tiling& tiling, bool adjoint) {
  return shared_of(p, tiling, adjoint).size * int(sizeof(T));
}

template <class T>
std::string slab_grid(const Acoustic<T>& p, bool adjoint, int blocks, Tiling& tiling) {
  tiling = {blocks > 1 ? Engine::cluster : Engine::resident,
            blocks,
            1,
            (p.grid.nz_p() + blocks - 1) / blocks,
            p.grid.nx_p(),
            0,
            p.nt,
            0};
  const std::string why = prepare(p, tiling);
  return why.empty() ? check_block(p, adjoint, tiling) : why;
}

template <class T>
std::string tile_grid(const Acoustic<T>& p, bool adjoint, int rows, int columns, int steps, Tiling& tiling) {
  const int nz = p.grid.nz_p(), nx = p.grid.nx_p(), halo = up4(p.reach() * steps);
  tiling = {Engine::tiled, 1, 1, 0, 0, halo, steps, 0};
  const std::string why = prepare(p, tiling);
  if (!why.empty()) return why;
  // As few tiles as possible, then as small as possible.
  auto divide = [&](int cells, int most, int unit, int& count, int& size) {
    if (cells <= most) {
      count = 1, size = cells;
      return true;
    }
    if (most <= 2 * halo) return false;
    const int whole = (cells + unit - 1) / unit * unit;
    if (p.sponge) {
      count = (cells + most - 2 * halo - 1) / (most - 2 * halo);
      size = (cells + count - 1) / count + 2 * halo;
      return size <= cells;
    }
    count = (whole - 2 * halo + most - 2 * halo - 1) / (most - 2 * halo);
    size = ((whole + 2 * halo * (count - 1) + count - 1) / count + unit - 1) / unit * unit;
    return true;
  };
  if (!divide(nz, rows, 1, tiling.blocks_z, tiling.rows) ||
      !divide(nx, columns / 4 * 4, 4, tiling.blocks_x, tiling.columns))
    return "tiles of " + number(rows) + " x " + number(columns) + " cells are too small for their overlap";
  return check_block(p, adjoint, tiling);
}

template <class T>
Plan plan(const Acoustic<T>& p, Task task, int wanted, const Limits& limits,
          const std::function<bool(const Tiling&)>& accepts) {
  const Tiling plain{Engine::plain, 0, 0, 0, 0, 0, 1, 0};
  if (wanted == int(Engine::plain) || has_tangents(task)) return {plain, ""};
  const bool adjoint = task == Task::adjoint;
  auto wants = [&](Engine engine) { return wanted < 0 || wanted == int(engine); };
  std::string reason;
  auto because = [&](const char* engine, const std::string& why) {
    if (!reason.empty()) reason += "; ";
    reason += std::string(engine) + ": " + why;
  };
  auto too_much = [&](const Tiling& t) {
    const int bytes = shared_bytes(p, t, adjoint);
    return bytes <= limits.shared
               ? std::string()
               : "needs " + number(bytes) + " bytes of shared memory, there are " + number(limits.shared);
  };

  // Whole shots on chip, in one block or in a cluster: many shots want few blocks each, few shots the whole chip.
  if (wants(Engine::resident) || wants(Engine::cluster)) {
    struct Choice {
      double cost;
      Tiling tiling;
    };
    std::vector<Choice> choices;
    const bool clusters = wants(Engine::cluster) && limits.cluster > 1 && sizeof(T) == 4;
    std::string last;
    for (int blocks = wants(Engine::resident) ? 1 : 2; blocks <= (clusters ? limits.cluster : 1); ++blocks) {
      Tiling tiling{};
      std::string why = slab_grid(p, adjoint, blocks, tiling);
      if (why.empty()) why = too_much(tiling);
      if (why.empty())
        choices.push_back({slab_cost(p, adjoint, tiling, limits), tiling});
      else if (blocks == 1)
        because("resident", why);
      else
        last = why;
    }
    std::stable_sort(choices.begin(), choices.end(), [](const Choice& a, const Choice& b) { return a.cost < b.cost; });
    for (const Choice& choice : choices) {
      if (choice.tiling.engine == Engine::resident || accepts(choice.tiling)) return {choice.tiling, reason};
      last = "the driver refuses it";
    }
    if (wants(Engine::cluster))
      because("cluster", limits.cluster < 2 ? "this chip has no clusters" : sizeof(T) == 8 ? "float32 only" : last);
  }
  if (wants(Engine::tiled)) {
    std::string why = sizeof(T) == 8 ? "float32 only" : "";
    Tiling best{};
    double least = 0;
    if (why.empty()) {
      Tiling probe{};
      why = prepare(p, probe);
      const Fit f = fit(sizeof(T), p.reach(), probe.strip, adjoint);
      for (const int columns : {128, 96, 64, 48})
        for (const int quarters : {4, 3, 2, 1})  // of the rows that the registers can hold
          for (const int steps : {2, 4, 6, 8, 10}) {
            Tiling tiling{};
            const int rows = f.threads / (columns / 4) * f.rows * quarters / 4;
            std::string here = tile_grid(p, adjoint, rows, columns, steps, tiling);
            if (here.empty()) here = too_much(tiling);
            if (!here.empty()) {
              if (why.empty()) why = here;
              continue;
            }
            // Rounds of blocks over the chip times the cells of a block; to load and to store is worth about 3.5 steps.
            const int64_t blocks = int64_t(tiling.blocks()) * p.count;
            const double rounds = double((blocks + limits.processors - 1) / limits.processors);
            const double cost = rounds * tiling.rows * tiling.columns * (steps + 3.5) / steps;
            if (best.blocks_z == 0 || cost < least) best = tiling, least = cost;
          }
      if (best.blocks_z) return {best, reason};
    }
    because("tiled", why);
  }
  return {plain, reason};
}

template Plan plan(const Acoustic<float>&, Task, int, const Limits&, const std::function<bool(const Tiling&)>&);
template Plan plan(const Acoustic<double>&, Task, int, const Limits&, const std::function<bool(const Tiling&)>&);
template std::string tile_grid(const Acoustic<float>&, bool, int, int, int, Tiling&);
template std::string tile_grid(const Acoustic<double>&, bool, int, int, int, Tiling&);
template std::string slab_grid(const Acoustic<float>&, bool, int, Tiling&);
template std::string slab_grid(const Acoustic<double>&, bool, int, Tiling&);
template int64_t workspace_elements(const Acoustic<float>&, const Tiling&, Task);
template int64_t workspace_elements(const Acoustic<double>&, const Tiling&, Task);
template int shared_bytes(const Acoustic<float>&, const Tiling&, bool);
template int shared_bytes(const Acoustic<double>&, const Tiling&, bool);

}  // namespace seisfast
