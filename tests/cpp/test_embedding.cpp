// trace_embedding's CUDA phases on the CPU, threads and blocks in shuffled orders, against loops in double: forward and
// adjoint, in clusters and through device memory. Every barrier is left out once, which must be noticed. The CPU engine
// too, on any number of threads.
#include <cstdio>
#include <cstdlib>
#include <type_traits>

#include "small_embedding.h"

namespace {

#ifdef SEISFAST_TEST_SMALL  // under sanitizers: fewer cases
constexpr bool kSmall = true;
#else
constexpr bool kSmall = false;
#endif

template <class V>
bool same(const std::vector<V>& a, const std::vector<V>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(V)) == 0);
}

template <class S, class A>
bool same(const Run<S, A>& a, const Run<S, A>& b) {
  return same(a.out, b.out) && same(a.statistics, b.statistics) && same(a.grad_x, b.grad_x) &&
         same(a.grad_weights, b.grad_weights);
}

struct Count {
  int passed = 0, failed = 0;
  void operator()(bool ok) { ok ? ++passed : ++failed; }
};

// Gathers none of whose maps has a value so near to 0 that rounding could move it over the edge of a ReLU.
template <class S>
Gathers gathers(const Case& c) {
  const Rounding stored = sizeof(S) == 2 ? to_bf16 : exact;
  for (unsigned seed = 1;; ++seed) {
    Gathers made(c, seed, stored);
    double nearest = 1e300;
    for (int g = 0; g < c.gathers; ++g) nearest = std::min(nearest, Reference(made, g, stored).nearest);
    if (sizeof(S) == 2 || nearest > (sizeof(S) == 4 ? 4e-6 : 1e-11)) return made;
  }
}

template <class S, class A>
void check(const Case& c, const std::vector<How>& ways, Count& count, Errors& worst) {
  constexpr bool half = sizeof(S) == 2;
  const double bound = half ? 2e-2 : sizeof(S) == 4 ? 1e-5 : 1e-12, bound_gradient = sizeof(S) == 4 ? 1e-4 : bound;
  std::vector<Reference> right, unrounded;
  const Gathers of = gathers<S>(c);
  for (int g = 0; g < c.gathers; ++g) right.emplace_back(of, g, half ? to_bf16 : exact);
  if (half)
    for (int g = 0; g < c.gathers; ++g) unrounded.emplace_back(of, g, exact);
  for (const How& how : ways) {
    Run<S, A> run(of);
    run.both(how);
    const Errors found = errors(run, right, how.input_gradient);
    const double out = half ? errors(run, unrounded, how.input_gradient).out : found.out;
    Run<S, A> again(of);
    How other = how;
    other.seed = how.seed + 77;
    again.both(other);
    const bool repeats = same(run, again);
    const bool planned = how.blocks != 0 || (how.limits.shared == 0 ? run.blocks[0] == 0 : run.blocks[0] > 0);
    const bool ok = out <= bound && found.statistics <= bound && found.weights <= bound_gradient &&
                    found.grad_x <= bound_gradient && found.zero_bias && repeats && planned;
    if (!ok)
      std::printf(
          "wrong: %zu-byte maps %d x %d x %d, %d channels, offset %g, %d blocks of %d, room %d: out %.1e, "
          "statistics %.1e, weights %.1e, x %.1e, zero bias %d, repeats %d\n",
          sizeof(S), c.gathers, c.receivers, c.samples, c.channels, c.offset, how.blocks, how.threads, how.room, out,
          found.statistics, found.weights, found.grad_x, found.zero_bias, repeats);
    count(ok);
    worst.out = std::max(worst.out, out), worst.statistics = std::max(worst.statistics, found.statistics);
    worst.weights = std::max(worst.weights, found.weights), worst.grad_x = std::max(worst.grad_x, found.grad_x);
  }
}

// The cases of a type; the sizes with clusters of any number of blocks, and through device memory.
template <class S, class A>
void check_type(const char* name, Count& count) {
  Errors worst;
  const Case small[] = {{2, 1, 2, 4, 0.1, 0},   {2, 5, 37, 4, 1e-5, 0}, {2, 7, 130, 4, 1e-5, 50},
                        {3, 5, 37, 1, 1e-5, 0}, {2, 6, 41, 5, 1e-5, 0}, {1, 3, 66, 8, 1e-5, 0}};
  const Case large[] = {{1, 32, 100, 4, 1e-5, 0}, {1, 32, 100, 5, 1e-5, 50}, {1, 32, 100, 8, 1e-5, 0}};
  const How planned{0, 0, 0}, cpu{-1, 0, 0};
  // The CPU engine keeps its maps in A, so that beside bfloat16 it is not the reference that rounds them.
  const bool on_cpu = sizeof(S) == sizeof(A);
  for (const Case& c : small) {
    std::vector<How> ways = {planned};
    if (on_cpu) ways.push_back(cpu);
    for (const int blocks : {1, 2, 4, 8, 16}) {
      if (kSmall && blocks != 2 && blocks != 16) continue;
      if (std::is_same<S, double>::value && blocks != 4) continue;
      ways.push_back({blocks, blocks == 4 ? 96 : 64, blocks == 2 ? 3 : 50, unsigned(blocks)});
      ways.back().input_gradient = blocks != 8;
    }
    check<S, A>(c, ways, count, worst);
  }
  for (const Case& c : large) {
    if (kSmall) break;
    std::vector<How> ways = {planned, {8, 64, 64, 5}};
    if (c.channels == 4) ways.push_back({1, 512, 512, 6}), ways.push_back({4, 128, 90, 7});
    if (c.channels == 8) ways[1].input_gradient = false;
    if (std::is_same<S, double>::value) ways.resize(1);
    if (on_cpu) ways.push_back(cpu);
    check<S, A>(c, ways, count, worst);
  }
  std::printf("%s: at most %.1e off, statistics %.1e, gradients of weights %.1e, of x %.1e\n", name, worst.out,
              worst.statistics, worst.weights, worst.grad_x);
}

// The size that people train with, as planned for an H100, and what fits other chips.
void check_plans(Count& count) {
  const seisfast::Limits hopper{227 * 1024, 16, 132}, ampere{163 * 1024, 1, 108}, small{48 * 1024, 1, 20};
  auto plan = [](auto p, int gathers, int receivers, int samples, bool adjoint, const seisfast::Limits& limits) {
    p.gathers = gathers, p.receivers = receivers, p.samples = samples, p.channels = 4;
    const EmbeddingPlan plan = seisfast::embedding_plan(p, adjoint, limits);
    const emb::Layout layout = emb::layout_of(p, adjoint, plan);
    const bool fits = plan.blocks == 0 || (plan.blocks <= limits.cluster && plan.shared <= limits.shared);
    bool sums = true;
    for (const emb::Rounds& rounds : layout.rounds)
      sums = sums && (!adjoint || (rounds.chunks > 0 && rounds.count * rounds.together >= rounds.pairs));
    return fits && sums && plan.parts >= gathers && plan.threads % 32 == 0 ? plan : EmbeddingPlan{-1, 0, 0, 0, 0};
  };
  for (const bool adjoint : {false, true}) {
    const EmbeddingPlan usual = plan(Embedding<float, float>{}, 240, 32, 1000, adjoint, hopper);
    const EmbeddingPlan half = plan(Embedding<Bf16, float>{}, 240, 32, 1000, adjoint, hopper);
    std::printf("32 x 1000%s: %d blocks of %d, %d bytes; bf16: %d blocks of %d, %d bytes\n", adjoint ? ", adjoint" : "",
                usual.blocks, usual.threads, usual.shared, half.blocks, half.threads, half.shared);
    count(usual.blocks == 8 && usual.threads == 512);
    count(half.blocks == 4 && half.threads == 512);
    count(plan(Embedding<double, double>{}, 240, 32, 1000, adjoint, hopper).blocks == 0);
    count(plan(Embedding<float, float>{}, 70000, 32, 1000, adjoint, ampere).blocks == 0);
    count(plan(Embedding<float, float>{}, 70000, 16, 128, adjoint, ampere).blocks == 1);
    count(plan(Embedding<float, float>{}, 1, 200, 9000, adjoint, hopper).blocks == 0);
    bool all = true;
    for (int receivers = 1; receivers < 300; receivers += 7)
      for (int samples = 1; samples < 5000; samples = samples * 3 / 2 + 1)
        for (const auto& limits : {hopper, ampere, small})
          all = all && plan(Embedding<float, float>{}, 3, receivers, samples, adjoint, limits).blocks >= 0 &&
                plan(Embedding<Bf16, float>{}, 3, receivers, samples, adjoint, limits).blocks >= 0;
    count(all);
  }
  Errors worst;
  How way{0, 0, 0};
  way.limits = hopper;
  if (!kSmall) check<float, float>({1, 32, 1000, 4, 1e-5, 0}, {way}, count, worst);
  if (!kSmall) check<Bf16, float>({1, 32, 1000, 4, 1e-5, 0}, {way}, count, worst);
}

// A sample that is not a number spoils its own gather, visibly, and no other.
void check_not_a_number(Count& count) {
  Gathers of = gathers<float>({2, 5, 37, 4, 1e-5, 0});
  Run<float, float> good(of);
  const How ways[] = {{2, 64, 10}, {0, 0, 0}, {-1, 0, 0}};
  for (const How& how : ways) {
    good.pass(how, false);
    Run<float, float> bad(of);
    bad.x[7] = std::nanf("");
    bad.pass(how, false);
    const size_t half = bad.out.size() / 2;
    bool spoiled = true, kept = true;
    for (size_t k = 0; k < half; ++k) spoiled = spoiled && std::isnan(bad.out[k]);
    for (size_t k = half; k < 2 * half; ++k) kept = kept && bad.out[k] == good.out[k];
    count(spoiled && kept);
  }
}

// Each barrier in turn.
void check_barriers(Count& count) {
  const Gathers of = gathers<float>({1, 20, 66, 4, 1e-5, 0});
  How how{4, 64, 10};
  Run<float, float> good(of);
  good.both(how);
  for (const bool adjoint : {false, true})
    for (int skip = 0; skip < good.barriers[adjoint]; ++skip) {
      bool noticed = false;
      for (unsigned seed = 1; seed < 12 && !noticed; ++seed) {
        Run<float, float> bad(of);
        bad.statistics = good.statistics;
        bad.p.statistics = bad.statistics.data();
        How wrong = how;
        wrong.skip = skip, wrong.seed = seed;
        bad.pass(wrong, adjoint);
        noticed = adjoint ? !same(bad.grad_weights, good.grad_weights) || !same(bad.grad_x, good.grad_x)
                          : !same(bad.out, good.out) || !same(bad.statistics, good.statistics);
      }
      if (!noticed) std::printf("nothing shows without barrier %d of %s\n", skip, adjoint ? "adjoint" : "forward");
      count(noticed);
    }
}

}  // namespace

int main() {
  Count count;
  check_type<float, float>("float", count);
  check_type<Bf16, float>("bfloat16", count);
  check_type<double, double>("double", count);
  check_plans(count);
  check_not_a_number(count);
  check_barriers(count);
  std::printf("%d passed, %d failed\n", count.passed, count.failed);
  return count.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
