// Owns the fused norm of a layout with a block per channel: [outer, channels, inner], with the terms of shot and
// receiver added on the way. A block measures its channel, then reads it again: from shared memory as far as that
// reaches.
#pragma once
#include "features/norm.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace norm {

struct TraceCut {
  int threads;     // a power of two
  int64_t kept;    // packs of a channel that stay in shared memory between the phases
  int64_t shared;  // bytes
};

constexpr int kTraceThreads = 1024;  // of a multiprocessor, in one block or several: its registers allow no more

template <class S, class A, int W, bool adjoint>
struct Traces {
  using Sum = Total<A, adjoint>;
  using Me = Thread;
  using At = Block<Traces>;
  static constexpr int kThreads = kTraceThreads, kResident = 1;
  static constexpr int kBatch = adjoint && sizeof(A) == 8 ? 1 : 2;  // packs that a thread asks for at a time
  static constexpr int kPlanes = adjoint ? 2 : 1;                   // kept of a value: y, or its n and g

  Norm<S, A> p;
  TraceCut cut;

  SEISFAST_HD At block(int index, int threads, void* memory) const {
    return {*this, index, threads, static_cast<Sum*>(memory)};
  }

  template <class Machine>
  SEISFAST_HD void run(Machine& machine) const {
    if constexpr (adjoint) {
      machine.each([](Me& me, const At& at) { add_up(me, at); });
      fold(machine, cut.threads, 1);
      machine.each([](Me& me, const At& at) { pull_back(me, at); });
    } else {
      if (!p.given) {
        machine.each([](Me& me, const At& at) { measure(me, at); });
        fold(machine, cut.threads, 1);
      }
      machine.each([](Me& me, const At& at) { apply(me, at); });
    }
  }

 private:
  struct Place {
    int64_t pack, outer, inner;  // the pack's number in its channel, its row, its first value there
    bool inside;
  };
  struct Loaded {
    Pack<S, W> x, shot, receiver, grad;
  };

  static SEISFAST_HD A* kept(const At& at, const Place& place, int plane, int j) {
    return reinterpret_cast<A*>(at.memory + at.threads) + (plane * W + j) * at.job.cut.kept + place.pack;
  }

  static SEISFAST_HD int64_t offset(const At& at, const Place& place) {
    return (place.outer * at.job.p.channels + at.index) * at.job.p.inner + place.inner;
  }

  static SEISFAST_HD void load(const At& at, const Place& place, Loaded& to) {
    const Norm<S, A>& p = at.job.p;
    const int shot = at.index / p.receivers, receiver = at.index - shot * p.receivers, shots = p.channels / p.receivers;
    to.x.load(p.x + offset(at, place));
    if (p.per_shot) to.shot.load(p.per_shot + (place.outer * shots + shot) * p.inner + place.inner);
    if (p.per_receiver) to.receiver.load(p.per_receiver + receiver * p.inner + place.inner);
    if constexpr (adjoint) to.grad.load(p.grad_out + offset(at, place));
  }

  static SEISFAST_HD void add_terms(const At& at, const Loaded& from, A (&y)[W]) {
    SEISFAST_UNROLL
    for (int j = 0; j < W; ++j) {
      y[j] = widen(from.x.at[j]);
      if (at.job.p.per_shot) y[j] += widen(from.shot.at[j]);
      if (at.job.p.per_receiver) y[j] += widen(from.receiver.at[j]);
    }
  }

  // Visits the packs of this thread, every threads-th of the channel. What `skip` does not name is loaded first, a
  // batch at a time, for then the loads are under way together.
  template <class Skip, class Use>
  static SEISFAST_HD void visit(const Me& me, const At& at, Skip skip, Use use) {
    const int64_t row = at.job.p.inner / W, packs = at.job.p.outer * row;
    const int period = row > at.threads ? at.threads + 1 : int(row);  // rows longer than a step: any period beyond it
    const int down = at.threads / period, along = at.threads - down * period;
    int64_t outer = me.id / period, inner = me.id - int(outer) * period;
    for (int64_t pack = me.id; pack < packs;) {
      Place places[kBatch];
      Loaded loaded[kBatch];
      SEISFAST_UNROLL
      for (int b = 0; b < kBatch; ++b) {
        places[b] = {pack, outer, inner * W, pack < packs};
        loaded[b] = {};
        if (places[b].inside && !skip(places[b])) load(at, places[b], loaded[b]);
        pack += at.threads, outer += down, inner += along;
        if (inner >= row) inner -= row, ++outer;
      }
      SEISFAST_UNROLL
      for (int b = 0; b < kBatch; ++b)
        if (places[b].inside) use(places[b], loaded[b]);
    }
  }

  static SEISFAST_HD void measure(const Me& me, const At& at) {
    MomentsRow<A, W> sets;
    visit(
        me, at, [](const Place&) { return false; },
        [&](const Place& place, const Loaded& loaded) {
          A y[W];
          add_terms(at, loaded, y);
          sets.add(y);
          if (place.pack >= at.job.cut.kept) return;
          SEISFAST_UNROLL
          for (int j = 0; j < W; ++j) *kept(at, place, 0, j) = y[j];
        });
    at.memory[me.id] = sets.all();
  }

  static SEISFAST_HD void apply(const Me& me, const At& at) {
    const Norm<S, A>& p = at.job.p;
    const A mean = p.given ? p.mean[at.index] : at.memory[0].mean;
    const A variance = p.given ? p.variance[at.index] : at.memory[0].variance();
    if (!p.given && me.id == 0) p.mean[at.index] = mean, p.variance[at.index] = variance;
    const Cell<A> cell = cell_of(p, at.index, mean, variance);
    auto here = [&](const Place& place) { return place.pack < at.job.cut.kept; };
    visit(me, at, here, [&](const Place& place, const Loaded& loaded) {
      A y[W];
      if (!here(place)) {
        add_terms(at, loaded, y);
      } else {
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) y[j] = *kept(at, place, 0, j);
      }
      Pack<S, W> out;
      SEISFAST_UNROLL
      for (int j = 0; j < W; ++j) narrow(cell.out(cell.normalised(y[j])), out.at[j]);
      out.store(p.out + offset(at, place));
    });
  }

  static SEISFAST_HD void gradient_of(const At& at, const Loaded& loaded, const Cell<A>& cell, A (&n)[W], A (&g)[W]) {
    add_terms(at, loaded, n);
    SEISFAST_UNROLL
    for (int j = 0; j < W; ++j) {
      n[j] = cell.normalised(n[j]);
      g[j] = cell.masked(n[j], widen(loaded.grad.at[j]));
    }
  }

  static SEISFAST_HD void put_gradient(const At& at, const Place& place, const Cell<A>& cell, const A (&n)[W],
                                       const A (&g)[W], A mean_g, A mean_gn) {
    Pack<S, W> grad_x;
    SEISFAST_UNROLL
    for (int j = 0; j < W; ++j) narrow(cell.gradient(n[j], g[j], mean_g, mean_gn), grad_x.at[j]);
    grad_x.store(at.job.p.grad_x + offset(at, place));
  }

  // Where the statistics are given, a value's gradient waits for no sum.
  static SEISFAST_HD void add_up(const Me& me, const At& at) {
    const Norm<S, A>& p = at.job.p;
    const Cell<A> cell = cell_of(p, at.index);
    Sums<A> sums{};
    visit(
        me, at, [](const Place&) { return false; },
        [&](const Place& place, const Loaded& loaded) {
          A n[W], g[W];
          gradient_of(at, loaded, cell, n, g);
          SEISFAST_UNROLL
          for (int j = 0; j < W; ++j) sums.add(g[j], n[j]);
          if (p.given) return put_gradient(at, place, cell, n, g, A(0), A(0));
          if (place.pack >= at.job.cut.kept) return;
          SEISFAST_UNROLL
          for (int j = 0; j < W; ++j) *kept(at, place, 0, j) = n[j], *kept(at, place, 1, j) = g[j];
        });
    at.memory[me.id] = sums;
  }

  static SEISFAST_HD void pull_back(const Me& me, const At& at) {
    const Norm<S, A>& p = at.job.p;
    const Sums<A> sums = at.memory[0];
    if (me.id == 0) p.grad_shift[at.index] = sums.g, p.grad_scale[at.index] = sums.gn;
    if (p.given) return;
    const Cell<A> cell = cell_of(p, at.index);
    const A count = A(p.outer * p.inner), mean_g = sums.g / count, mean_gn = sums.gn / count;
    auto here = [&](const Place& place) { return place.pack < at.job.cut.kept; };
    visit(me, at, here, [&](const Place& place, const Loaded& loaded) {
      A n[W], g[W];
      if (!here(place)) {
        gradient_of(at, loaded, cell, n, g);
      } else {
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) n[j] = *kept(at, place, 0, j), g[j] = *kept(at, place, 1, j);
      }
      put_gradient(at, place, cell, n, g, mean_g, mean_gn);
    });
  }
};

// Blocks as small as shared memory for whole channels allows, so that one loads while another adds up; a channel that
// does not fit gets a multiprocessor of its own. `most`: bytes of shared memory that a block may ask for.
template <class S, class A, int W, bool adjoint>
TraceCut cut_trace(const Norm<S, A>& p, int64_t most) {
  using Job = Traces<S, A, W, adjoint>;
  constexpr int64_t kPack = Job::kPlanes * W * int64_t(sizeof(A)), kReserved = 1024;  // the driver's share of a block
  constexpr int64_t kSum = int64_t(sizeof(typename Job::Sum));
  const int64_t packs = p.outer * (p.inner / W), wanted = p.given ? 0 : packs;
  int threads = kTraceThreads / 4;
  while (threads < kTraceThreads && kTraceThreads / threads * (threads * kSum + wanted * kPack + kReserved) > most)
    threads *= 2;
  while (threads > 32 && threads / 2 >= packs) threads /= 2;
  const int64_t room = (most - threads * kSum) / kPack, kept = wanted < room ? wanted : room;
  return {threads, kept, threads * kSum + kept * kPack};
}

template <bool adjoint, class S, class A, class Launch>
void run_traces_one_way(const Norm<S, A>& p, int64_t most, const Launch& launch) {
  with_width<S, 8>([&](int width) { return fits_width(p, adjoint, p.inner, width); },
                   [&](auto width) {
                     constexpr int W = decltype(width)::value;
                     const TraceCut cut = cut_trace<S, A, W, adjoint>(p, most);
                     launch(Traces<S, A, W, adjoint>{p, cut}, p.channels, cut.threads, cut.shared);
                   });
}

// launch(job, blocks, threads of a block, bytes of shared memory of a block) does a job and returns, or queues it.
template <class S, class A, class Launch>
void run_traces(const Norm<S, A>& p, bool adjoint, int64_t most, const Launch& launch) {
  require_values(p);
  adjoint ? run_traces_one_way<true>(p, most, launch) : run_traces_one_way<false>(p, most, launch);
}

}  // namespace norm
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
