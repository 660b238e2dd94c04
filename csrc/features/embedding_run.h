// Owns the order of trace_embedding's phases and the barriers between them.
//
// A machine runs a phase on every thread of every block: a CUDA block does its own part, a launcher gives each phase a
// launch of its own, the lockstep executor visits all threads in shuffled orders (common/lockstep.h). `barrier` is one
// of the threads of a block, `together` of all blocks of a gather: wherever a block has written to others.
#pragma once
#include "features/embedding_weights.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace embedding {

// What all threads reported, told to all blocks.
template <template <class> class Part, class Machine>
SEISFAST_HD void tell_all(Machine& machine, int layer) {
  machine.barrier();
  machine.each(MergeThreads<Part>{});
  machine.barrier();
  machine.each(TellBlocks<Part>{layer});
  machine.together();
}

// What all blocks wrote to a layer's planes, told to their neighbours.
template <class Machine>
SEISFAST_HD void share(Machine& machine, int layer) {
  machine.barrier();
  machine.each(ShareEdges{layer});
  machine.together();
}

// A layer with its norm and ReLU.
template <int layer, class Machine>
SEISFAST_HD void forward_layer(Machine& machine) {
  machine.each(Convolve<layer>{});
  machine.barrier();
  machine.each(ShareEdges{layer});
  machine.each(MergeThreads<Moments>{});
  machine.barrier();
  machine.each(TellBlocks<Moments>{layer});
  machine.together();
  machine.each(Normalise{layer});
  machine.barrier();
}

template <class Machine>
SEISFAST_HD void run_forward(Machine& machine) {
  machine.each(Prepare<false>{});
  machine.together();
  forward_layer<0>(machine);
  forward_layer<1>(machine);
  machine.each(Convolve<2>{});
  tell_all<Moments>(machine, 2);
  machine.each(Finish{});
}

// The gradients of a layer's weights, but for the last round's result; which round that is.
template <int layer, class Machine>
SEISFAST_HD int correlate_rounds(Machine& machine, const Layout& layout) {
  const int last = layout.rounds[layer].count - 1;
  for (int round = 0;; ++round) {
    machine.each(Correlate<layer>{round});
    if (round == last) return last;
    machine.barrier();
    machine.each(AddChunks<layer>{round});
    machine.barrier();
  }
}

template <class Machine>
SEISFAST_HD void run_adjoint(Machine& machine, const Layout& layout, bool input_gradient) {
  machine.each(Prepare<true>{});
  machine.together();
  machine.each(Again<0>{});
  share(machine, 0);
  machine.each(Again<1>{});
  share(machine, 1);
  machine.each(Again<2>{});
  machine.barrier();
  machine.each(SumOutput{});
  tell_all<Sums>(machine, 2);
  machine.each(OutputGradient{});
  share(machine, 2);

  const int third_round = correlate_rounds<2>(machine, layout);
  machine.each(SumSecond{});
  tell_all<Sums>(machine, 1);
  machine.each(AddChunks<2>{third_round});
  machine.each(SecondGradient{});
  share(machine, 1);

  const int second_round = correlate_rounds<1>(machine, layout);
  machine.barrier();
  machine.each(AddChunks<1>{second_round});
  machine.each(SumFirst{});
  tell_all<Sums>(machine, 0);
  machine.each(FirstGradient{});
  if (input_gradient)
    share(machine, 0);
  else
    machine.barrier();

  const int first_round = correlate_rounds<0>(machine, layout);
  machine.barrier();
  machine.each(AddChunks<0>{first_round});
  if (input_gradient) {
    machine.each(BackToInput{});
    machine.barrier();
    machine.each(StoreInput{});
  }
}

}  // namespace embedding
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
