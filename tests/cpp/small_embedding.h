// Owns a run of trace_embedding's CUDA phases on the CPU, or of its CPU engine, and the distance from the reference.
#pragma once
#include <cstring>

#include "common/lockstep.h"
#include "embedding_reference.h"
#include "features/cpu.h"
#include "features/embedding_run.h"

namespace emb = seisfast::embedding;
using seisfast::Bf16;
using seisfast::Embedding;
using seisfast::EmbeddingPlan;

inline double exact(double value) { return value; }
inline double to_bf16(double value) {
  Bf16 as;
  seisfast::narrow(float(value), as);
  return seisfast::widen(as);
}

// Shared memory of the blocks of a cluster, each on its own, so that a sanitizer sees what leaves it.
struct Cluster {
  static constexpr bool kRowsFirst = true;
  unsigned char* const* blocks;
  int rank;
  unsigned char* own() const { return blocks[rank]; }
  unsigned char* of(int other) const { return blocks[other]; }
};

struct Thread {
  int id;
};

// One cluster. Barrier number `skip` is left out; of a barrier of all blocks, what remains is one of each block.
template <class At>
struct ClusterMachine {
  seisfast::LockstepGroup<Thread, At> group;
  int skip, barriers = 0;

  template <class Phase>
  void each(Phase phase) {
    group.each([phase](Thread& me, const At& at) { phase(me.id, at); });
  }
  void barrier() {
    if (barriers++ != skip) group.barrier([](const Thread&, const At&) { return true; });
  }
  void together() {
    if (barriers++ != skip)
      group.together();
    else
      group.barrier([](const Thread&, const At&) { return true; });
  }
};

// Through device memory: all gathers at a time, a phase after the other.
template <class S, class A>
struct LaunchMachine {
  const Embedding<S, A>& p;
  const emb::Layout& layout;
  unsigned seed;

  template <class Phase>
  void each(Phase phase) {
    seisfast::Lockstep{seed}(layout.threads, 0, p.gathers * layout.blocks, [&](int thread, int block) {
      const int gather = block / layout.blocks, rank = block % layout.blocks;
      auto* begin = static_cast<unsigned char*>(p.workspace) + int64_t(gather) * layout.blocks * layout.bytes;
      phase(thread, emb::Block<S, A, emb::Workspace>{p, layout, {begin, layout.bytes, rank}, gather, rank});
    });
  }
  void barrier() {}
  void together() {}
};

struct How {
  // Blocks 1 and more: a cluster; 0: as planned; -1: not these phases but the CPU engine. Room: for the sums of how
  // many threads.
  int blocks, threads, room;
  unsigned seed = 1;
  int skip = -1;
  bool input_gradient = true;
  seisfast::Limits limits{0, 1, 4};
};

template <class S, class A>
struct Run {
  const Gathers& of;
  Embedding<S, A> p{};
  std::vector<S> x, out, grad_out, grad_x;
  std::vector<A> w[3], b[3], statistics, grad_weights;
  int barriers[2] = {}, blocks[2] = {};

  explicit Run(const Gathers& of) : of(of) {
    const Case& c = of.c;
    p.gathers = c.gathers, p.receivers = c.receivers, p.samples = c.samples, p.channels = c.channels;
    p.eps = A(c.eps);
    narrow_all(of.x, x), narrow_all(of.grad_out, grad_out);
    out.resize(x.size()), grad_x.resize(x.size()), statistics.resize(size_t(c.gathers) * 6);
    for (int layer = 0; layer < 3; ++layer) {
      narrow_all(of.w[layer], w[layer]), narrow_all(of.b[layer], b[layer]);
      p.w[layer] = w[layer].data(), p.b[layer] = b[layer].data();
    }
    p.x = x.data(), p.out = out.data(), p.statistics = statistics.data();
    spoil(out), spoil(grad_x), spoil(statistics);
  }

  void both(const How& how) { pass(how, false), pass(how, true); }

  void pass(const How& how, bool adjoint) {
    p.input_gradient = how.input_gradient;
    p.grad_out = adjoint ? grad_out.data() : nullptr;
    p.grad_x = adjoint && how.input_gradient ? grad_x.data() : nullptr;
    EmbeddingPlan plan{};
    if (how.blocks < 0) {
      plan.parts = p.gathers;
    } else if (how.blocks > 0) {
      const emb::Layout layout = emb::layout_of(p, adjoint, how.blocks, how.threads);
      const int64_t sums = adjoint ? how.room * int64_t(emb::kSums * sizeof(A)) : 0;
      plan = {how.blocks, how.threads, int(layout.bytes + sums), p.gathers * how.blocks, 0};
    } else {
      plan = seisfast::embedding_plan(p, adjoint, how.limits);
    }
    blocks[adjoint] = plan.blocks;
    std::vector<A> parts;
    if (adjoint) parts.resize(size_t(plan.parts) * size_t(p.weights()));
    spoil(parts);
    p.grad_weights = parts.data();
    std::vector<unsigned char> workspace(size_t(plan.workspace), 0xff);
    p.workspace = workspace.data();
    const emb::Layout layout = how.blocks < 0 ? emb::Layout{} : emb::layout_of(p, adjoint, plan);
    if (how.blocks < 0) {
      seisfast::cpu_embedding(p, adjoint, int(how.seed % 4));
    } else if (plan.blocks == 0) {
      LaunchMachine<S, A> machine{p, layout, how.seed};
      order(machine, layout, adjoint);
    } else {
      for (int gather = 0; gather < p.gathers; ++gather) cluster(how, layout, gather, adjoint);
    }
    if (adjoint) {
      grad_weights.assign(size_t(p.weights()), 0);
      for (size_t k = 0; k < parts.size(); ++k) grad_weights[k % grad_weights.size()] += parts[k];
    }
  }

 private:
  template <class V>
  static void narrow_all(const Values& from, std::vector<V>& to) {
    to.resize(from.size());
    for (size_t k = 0; k < to.size(); ++k) seisfast::narrow(A(from[k]), to[k]);
  }
  template <class V>
  static void spoil(std::vector<V>& values) {
    if (!values.empty()) std::memset(static_cast<void*>(values.data()), 0xff, values.size() * sizeof(V));  // NaN
  }
  template <class Machine>
  void order(Machine& machine, const emb::Layout& layout, bool adjoint) {
    if (adjoint)
      emb::run_adjoint(machine, layout, p.input_gradient);
    else
      emb::run_forward(machine);
  }
  void cluster(const How& how, const emb::Layout& layout, int gather, bool adjoint) {
    using At = emb::Block<S, A, Cluster>;
    ClusterMachine<At> machine{{}, how.skip};
    machine.group.generator.seed(how.seed + unsigned(gather));
    // Shared memory begins with what the last kernel left there.
    std::vector<std::vector<unsigned char>> memory(size_t(layout.blocks),
                                                   std::vector<unsigned char>(size_t(layout.bytes), 0xff));
    std::vector<unsigned char*> all;
    for (auto& block : memory) all.push_back(block.data());
    for (int rank = 0; rank < layout.blocks; ++rank) {
      machine.group.blocks.push_back({p, layout, {all.data(), rank}, gather, rank});
      machine.group.threads.emplace_back(size_t(layout.threads));
      for (int t = 0; t < layout.threads; ++t) machine.group.threads.back()[size_t(t)].id = t;
    }
    order(machine, layout, adjoint);
    machine.group.finish();
    barriers[adjoint] = machine.barriers;
  }
};

// Relative distance in the L2 norm; what is not a number is far away.
struct Distance {
  double difference = 0, size = 0;
  void add(double found, double right) {
    difference += std::isfinite(found) ? (found - right) * (found - right) : 1e300;
    size += right * right;
  }
  double relative() const { return std::sqrt(difference / std::max(size, 1e-300)); }
};

struct Errors {
  double out = 0, statistics = 0, weights = 0, grad_x = 0;
  bool zero_bias = true;
};

template <class S, class A>
Errors errors(const Run<S, A>& run, const std::vector<Reference>& right, bool input_gradient) {
  Errors found;
  Distance out, grad_x, weights[3];
  const size_t size = right[0].out.size();
  Values grad_w[3], grad_b[3];
  for (size_t g = 0; g < right.size(); ++g) {
    for (size_t k = 0; k < size; ++k) {
      out.add(seisfast::widen(run.out[g * size + k]), right[g].out[k]);
      if (input_gradient) grad_x.add(seisfast::widen(run.grad_x[g * size + k]), right[g].grad_x[k]);
    }
    for (int layer = 0; layer < 3; ++layer) {
      const A* at = run.statistics.data() + (g * 3 + size_t(layer)) * 2;
      const double deviation = 1 / right[g].scale[layer];
      found.statistics = std::max(found.statistics, std::abs(at[0] - right[g].mean[layer]) / deviation);
      found.statistics = std::max(found.statistics, std::abs(at[1] * deviation - 1));
      if (!std::isfinite(at[0]) || !std::isfinite(at[1])) found.statistics = 1e300;
      grad_w[layer].resize(right[g].grad_w[layer].size()), grad_b[layer].resize(right[g].grad_b[layer].size());
      for (size_t k = 0; k < grad_w[layer].size(); ++k) grad_w[layer][k] += right[g].grad_w[layer][k];
      for (size_t k = 0; k < grad_b[layer].size(); ++k) grad_b[layer][k] += right[g].grad_b[layer][k];
    }
  }
  for (int layer = 0; layer < 3; ++layer) {
    const A* w = run.grad_weights.data() + run.p.begin(layer);
    const A* b = run.grad_weights.data() + run.p.bias(layer);
    for (size_t k = 0; k < grad_w[layer].size(); ++k) weights[layer].add(w[k], grad_w[layer][k]);
    for (size_t k = 0; layer < 2 && k < grad_b[layer].size(); ++k) weights[layer].add(b[k], grad_b[layer][k]);
    if (layer == 2) found.zero_bias = b[0] == 0;
    found.weights = std::max(found.weights, weights[layer].relative());
  }
  found.out = out.relative(), found.grad_x = grad_x.relative();
  return found;
}
