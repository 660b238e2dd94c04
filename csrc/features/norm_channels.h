// Owns the fused norm of a layout with channels last, [rows, channels]: blocks sum up chunks of rows, one short launch
// merges the chunks, blocks apply the result.
#pragma once
#include "features/norm.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace norm {

// A block takes `columns` packs of W channels side by side and `rows` rows at a time, of a chunk of `step` rows.
struct ChannelCut {
  int columns, rows;
  int tiles;   // blocks side by side that a row needs
  int chunks;  // of all rows
  int64_t step;

  int64_t blocks() const { return int64_t(tiles) * chunks; }
};

constexpr int kChannelThreads = 256;
constexpr int kChannelResident = 4;                         // blocks of a multiprocessor
constexpr int64_t kChannelBlocks = 132 * kChannelResident;  // that run at a time on an H100
constexpr int kLeastRows = 4, kLeastStep = 16;              // of a thread, of a block: fewer cost more to merge

// Channels of a thread: it holds their means, scales and sums in registers, and an adjoint has room for four at most.
template <bool adjoint>
constexpr int kMostColumns = adjoint ? 4 : 8;

template <class S, class A>
ChannelCut cut_channels(const Norm<S, A>& p, int width) {
  ChannelCut cut;
  const int packs = (p.channels - 1) / width + 1;
  cut.tiles = (packs - 1) / kChannelThreads + 1;
  cut.columns = (packs - 1) / cut.tiles + 1;
  cut.rows = kChannelThreads / cut.columns;
  const int64_t wanted = cut.tiles < kChannelBlocks ? kChannelBlocks / cut.tiles : 1;
  const int64_t even = (p.outer - 1) / wanted + 1, times = (even - 1) / cut.rows + 1;
  const int least = kLeastStep / cut.rows > kLeastRows ? kLeastStep / cut.rows : kLeastRows;
  cut.step = (times > least ? times : least) * cut.rows;
  cut.chunks = int((p.outer - 1) / cut.step + 1);
  return cut;
}

// Where a thread works.
struct ChannelPlace {
  int row, column;  // in the block
  int64_t channel;  // the first of its pack
  int64_t begin, end, chunk;
  bool active;
};

template <class Work, class S, class A, int W, bool adjoint>
struct ChannelJob {
  using Sum = Total<A, adjoint>;
  using Me = Thread;
  using At = Block<Work>;
  static constexpr int kThreads = kChannelThreads, kResident = kChannelResident;
  // Rows that a thread asks for before it needs the first: 64 bytes under way, less where registers are short.
  static constexpr int kBatch = W * sizeof(A) > 16 || adjoint ? 2 : 4;

  Norm<S, A> p;
  ChannelCut cut;

  SEISFAST_HD At block(int index, int threads, void* memory) const {
    return {static_cast<const Work&>(*this), index, threads, static_cast<Sum*>(memory)};
  }

  static SEISFAST_HD ChannelPlace place(const Me& me, const At& at, bool backwards) {
    const ChannelCut& cut = at.job.cut;
    ChannelPlace here;
    const int chunk = at.index / cut.tiles, tile = at.index - chunk * cut.tiles;
    here.row = me.id / cut.columns, here.column = me.id - here.row * cut.columns;
    here.channel = (int64_t(tile) * cut.columns + here.column) * W;
    here.chunk = backwards ? cut.chunks - 1 - chunk : chunk;
    here.begin = here.chunk * cut.step;
    here.end = here.begin + cut.step < at.job.p.outer ? here.begin + cut.step : at.job.p.outer;
    here.active = here.row < cut.rows && here.channel < at.job.p.channels;
    return here;
  }

  // Visits the packs of this thread, x and, in an adjoint, grad_out.
  template <class Use>
  static SEISFAST_HD void visit(const At& at, const ChannelPlace& here, Use use) {
    const Norm<S, A>& p = at.job.p;
    const int64_t stride = int64_t(at.job.cut.rows) * p.channels, end = here.end * p.channels;
    for (int64_t i = (here.begin + here.row) * p.channels + here.channel; i < end; i += kBatch * stride) {
      Pack<S, W> x[kBatch], grad[kBatch];
      SEISFAST_UNROLL
      for (int b = 0; b < kBatch; ++b) {
        x[b] = {}, grad[b] = {};
        if (i + b * stride >= end) continue;
        x[b].load(p.x + i + b * stride);
        if constexpr (adjoint) grad[b].load(p.grad_out + i + b * stride);
      }
      SEISFAST_UNROLL
      for (int b = 0; b < kBatch; ++b)
        if (i + b * stride < end) use(i + b * stride, x[b], grad[b]);
    }
  }

  static SEISFAST_HD void load_cells(const At& at, const ChannelPlace& here, Cell<A> (&cells)[W]) {
    SEISFAST_UNROLL
    for (int j = 0; j < W; ++j) cells[j] = cell_of(at.job.p, here.channel + j);
  }
};

// Moments, or sums of the gradient, of every chunk and channel: workspace [chunks, channels]. An adjoint with given
// statistics writes the gradient as well, for that waits for no sum.
template <class S, class A, int W, bool adjoint>
struct ChannelSums : ChannelJob<ChannelSums<S, A, W, adjoint>, S, A, W, adjoint> {
  using Base = ChannelJob<ChannelSums, S, A, W, adjoint>;
  using typename Base::At;
  using typename Base::Me;
  using typename Base::Sum;

  template <class Machine>
  SEISFAST_HD void run(Machine& machine) const {
    machine.each([](Me& me, const At& at) { add_up(me, at); });
    fold(machine, this->cut.rows, this->cut.columns * W);
    machine.each([](Me& me, const At& at) { store(me, at); });
  }

 private:
  static SEISFAST_HD void add_up(const Me& me, const At& at) {
    const Norm<S, A>& p = at.job.p;
    const ChannelPlace here = Base::place(me, at, false);
    if (here.row >= at.job.cut.rows) return;
    Sum* const sums = at.memory + (here.row * at.job.cut.columns + here.column) * W;
    if (!here.active) {  // beyond the last channel: merged like the rest, and not stored
      for (int j = 0; j < W; ++j) sums[j] = {};
    } else if constexpr (adjoint) {
      Cell<A> cells[W];
      Base::load_cells(at, here, cells);
      Sum mine[W] = {};
      Base::visit(at, here, [&](int64_t i, const Pack<S, W>& x, const Pack<S, W>& grad) {
        Pack<S, W> grad_x;
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) {
          const A n = cells[j].normalised(widen(x.at[j])), g = cells[j].masked(n, widen(grad.at[j]));
          mine[j].add(g, n);
          narrow(cells[j].gradient(n, g, A(0), A(0)), grad_x.at[j]);
        }
        if (p.given) grad_x.store(p.grad_x + i);
      });
      SEISFAST_UNROLL
      for (int j = 0; j < W; ++j) sums[j] = mine[j];
    } else {
      MomentsRow<A, W> mine;
      Base::visit(at, here, [&](int64_t, const Pack<S, W>& x, const Pack<S, W>&) {
        A y[W];
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) y[j] = widen(x.at[j]);
        mine.add(y);
      });
      SEISFAST_UNROLL
      for (int j = 0; j < W; ++j) sums[j] = mine.set(j);
    }
  }

  static SEISFAST_HD void store(const Me& me, const At& at) {
    const ChannelPlace first = Base::place(Me{0}, at, false);
    Sum* const to = reinterpret_cast<Sum*>(at.job.p.workspace) + first.chunk * at.job.p.channels;
    for (int k = me.id; k < at.job.cut.columns * W; k += at.threads)
      if (first.channel + k < at.job.p.channels) to[first.channel + k] = at.memory[k];
  }
};

// The chunks of a channel as one, in an order that does not depend on the chip: kSlots threads take every kSlots-th.
template <class S, class A, bool adjoint>
struct ChannelMerge {
  using Sum = Total<A, adjoint>;
  using Me = Thread;
  using At = Block<ChannelMerge>;
  static constexpr int kThreads = kChannelThreads, kResident = 1;
  static constexpr int kChannels = 8, kSlots = kThreads / kChannels;  // side by side: a line of the workspace each
  static constexpr int kBatch = 4;                                    // chunks that a thread asks for at a time

  Norm<S, A> p;
  int chunks;

  SEISFAST_HD At block(int index, int threads, void* memory) const {
    return {*this, index, threads, static_cast<Sum*>(memory)};
  }

  template <class Machine>
  SEISFAST_HD void run(Machine& machine) const {
    machine.each([](Me& me, const At& at) {
      const int slot = me.id / kChannels;
      const int64_t channel = channel_of(me, at);
      const Sum* const from = reinterpret_cast<const Sum*>(at.job.p.workspace) + channel;
      Sum sum{};
      const int chunks = channel < at.job.p.channels ? at.job.chunks : 0;
      for (int chunk = slot; chunk < chunks; chunk += kBatch * kSlots) {
        Sum next[kBatch];
        SEISFAST_UNROLL
        for (int b = 0; b < kBatch; ++b) {
          next[b] = {};  // beyond the last chunk: nothing to merge
          if (chunk + b * kSlots < chunks) next[b] = from[int64_t(chunk + b * kSlots) * at.job.p.channels];
        }
        SEISFAST_UNROLL
        for (int b = 0; b < kBatch; ++b) sum.merge(next[b]);
      }
      at.memory[me.id] = sum;
    });
    fold(machine, kSlots, kChannels);
    machine.each([](Me& me, const At& at) {
      const int64_t channel = channel_of(me, at);
      if (me.id >= kChannels || channel >= at.job.p.channels) return;
      if constexpr (adjoint)
        at.job.p.grad_shift[channel] = at.memory[me.id].g, at.job.p.grad_scale[channel] = at.memory[me.id].gn;
      else
        at.job.p.mean[channel] = at.memory[me.id].mean, at.job.p.variance[channel] = at.memory[me.id].variance();
    });
  }

 private:
  static SEISFAST_HD int64_t channel_of(const Me& me, const At& at) {
    return int64_t(at.index) * kChannels + me.id % kChannels;
  }
};

// The output, or the gradient. Backwards from the rows that were read last: the cache still has them.
template <class S, class A, int W, bool adjoint>
struct ChannelApply : ChannelJob<ChannelApply<S, A, W, adjoint>, S, A, W, adjoint> {
  using Base = ChannelJob<ChannelApply, S, A, W, adjoint>;
  using typename Base::At;
  using typename Base::Me;

  template <class Machine>
  SEISFAST_HD void run(Machine& machine) const {
    machine.each([](Me& me, const At& at) { apply(me, at); });
  }

 private:
  static SEISFAST_HD void apply(const Me& me, const At& at) {
    const Norm<S, A>& p = at.job.p;
    const ChannelPlace here = Base::place(me, at, true);
    if (!here.active) return;
    Cell<A> cells[W];
    Base::load_cells(at, here, cells);
    if constexpr (adjoint) {
      A mean_g[W], mean_gn[W];
      SEISFAST_UNROLL
      for (int j = 0; j < W; ++j) {
        mean_g[j] = p.grad_shift[here.channel + j] / A(p.outer);
        mean_gn[j] = p.grad_scale[here.channel + j] / A(p.outer);
      }
      Base::visit(at, here, [&](int64_t i, const Pack<S, W>& x, const Pack<S, W>& grad) {
        Pack<S, W> grad_x;
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) {
          const A n = cells[j].normalised(widen(x.at[j])), g = cells[j].masked(n, widen(grad.at[j]));
          narrow(cells[j].gradient(n, g, mean_g[j], mean_gn[j]), grad_x.at[j]);
        }
        grad_x.store(p.grad_x + i);
      });
    } else {
      Base::visit(at, here, [&](int64_t i, const Pack<S, W>& x, const Pack<S, W>&) {
        Pack<S, W> out;
        SEISFAST_UNROLL
        for (int j = 0; j < W; ++j) narrow(cells[j].out(cells[j].normalised(widen(x.at[j]))), out.at[j]);
        out.store(p.out + i);
      });
    }
  }
};

template <bool adjoint, class S, class A, class Launch>
void run_channels_one_way(const Norm<S, A>& p, const Launch& launch) {
  with_width<S, kMostColumns<adjoint>>([&](int width) { return fits_width(p, adjoint, p.channels, width); },
                                       [&](auto width) {
                                         constexpr int W = decltype(width)::value;
                                         using Merge = ChannelMerge<S, A, adjoint>;
                                         constexpr int64_t kSum = int64_t(sizeof(typename Merge::Sum));
                                         const ChannelCut cut = cut_channels(p, W);
                                         if (adjoint || !p.given) {
                                           launch(ChannelSums<S, A, W, adjoint>{{p, cut}}, cut.blocks(),
                                                  kChannelThreads, int64_t(cut.rows) * cut.columns * W * kSum);
                                           launch(Merge{p, cut.chunks}, (p.channels - 1) / Merge::kChannels + 1,
                                                  Merge::kThreads, Merge::kThreads * kSum);
                                         }
                                         if (!adjoint || !p.given)
                                           launch(ChannelApply<S, A, W, adjoint>{{p, cut}}, cut.blocks(),
                                                  kChannelThreads, 0);
                                       });
}

// `launch` as in run_traces.
template <class S, class A, class Launch>
void run_channels(const Norm<S, A>& p, bool adjoint, const Launch& launch) {
  require_values(p);
  adjoint ? run_channels_one_way<true>(p, launch) : run_channels_one_way<false>(p, launch);
}

}  // namespace norm
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
