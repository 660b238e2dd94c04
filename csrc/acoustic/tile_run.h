// Owns the order of the phases of an on-chip engine and the barriers between them.
//
// A machine runs a phase on every thread: a CUDA block does its own part (onchip.cuh), the lockstep executor visits all
// threads of all blocks in shuffled orders (common/lockstep.h). `together` is a barrier of all blocks of a cluster,
// `barrier(needed)` one of the threads of a block, for blocks where needed(thread, block) holds.
#pragma once
#include "acoustic/tile_step.h"

namespace seisfast {
inline namespace SEISFAST_LEVEL {
namespace onchip {

template <class T, int R, int S, bool adjoint, class Machine>
SEISFAST_HD void run_chunk(Machine& machine, const Chunk<T>& chunk) {
  using Me = typename Machine::Me;
  using At = Block<T>;
  using Do = Phases<T, R, S, adjoint, Me, Machine::kTiles>;
  const int steps = chunk.end - chunk.begin;
  auto layered = [](const Me&, const At& at) { return at.has_strips(); };
  auto listening = [](const Me& me, const At&) { return me.listens; };

  machine.each([](Me& me, const At& at) { Do::clear(me, at); });
  machine.together();
  machine.each([](Me& me, const At& at) { Do::prepare(me, at); });
  machine.together();
  machine.each([](Me& me, const At& at) { Do::load(me, at); });
  machine.together();
  for (int i = 0; i < steps; ++i) {
    const int n = adjoint ? chunk.end - 1 - i : chunk.begin + i;
    if constexpr (adjoint) {
      machine.each([=](Me& me, const At& at) { Do::add_residual(me, at, n, i); });
      machine.barrier(listening);
      machine.each([=](Me& me, const At& at) {
        Do::source_gradient(me, at, n, i);
        Do::layers(me, at, i);
      });
    } else {
      machine.each([=](Me& me, const At& at) {
        if (i > 0) Do::record(me, at, n - 1, i);
        Do::layers(me, at, i);
      });
    }
    machine.barrier(layered);
    machine.each([=](Me& me, const At& at) { Do::advance_cells(me, at, n, i); });
    machine.together();
  }
  machine.each([=](Me& me, const At& at) {
    if (!adjoint) Do::record(me, at, chunk.end - 1, steps);
    Do::store(me, at, steps);
  });
}

}  // namespace onchip
}  // namespace SEISFAST_LEVEL
}  // namespace seisfast
