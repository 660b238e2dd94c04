// The CUDA phases of the fused norm on the CPU, threads and blocks in shuffled orders, against plain loops in double
// precision: both layouts, every storage, training and given statistics, any size and alignment; the same bits for
// every order; planted missing barriers are noticed. The CPU engine too, on any number of threads.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>

#include "common/lockstep.h"
#include "features/cpu.h"
#include "features/cuda.h"
#include "features/norm_channels.h"
#include "features/norm_traces.h"

namespace {

using seisfast::Bf16;
using seisfast::Norm;
using seisfast::widen;
namespace norm = seisfast::norm;

#ifdef SEISFAST_TEST_SMALL  // under sanitizers
constexpr bool kSmall = true;
#else
constexpr bool kSmall = false;
#endif

// A block. `skip` plants an error: the threads do not wait for each other at that barrier.
template <class Job>
struct Machine : seisfast::LockstepGroup<norm::Thread, typename Job::At> {
  using At = typename Job::At;
  int skip = -1, waits = 0;
  void together() {
    if (waits++ != skip) this->finish();
  }
};

// Stands for the CUDA launches: blocks in a shuffled order, each with shared memory as the last kernel left it.
struct OnCpu {
  unsigned seed;
  int skip = -1;
  int64_t only = -1;        // runs this block alone
  int* launches = nullptr;  // counts them

  template <class Job>
  void operator()(const Job& job, int64_t blocks, int threads, int64_t shared) const {
    if (launches) ++*launches;
    std::vector<int64_t> order;
    for (int64_t b = only < 0 ? 0 : only; b < (only < 0 ? blocks : only + 1); ++b) order.push_back(b);
    std::shuffle(order.begin(), order.end(), std::mt19937(seed));
    std::vector<double> memory(size_t(shared) / sizeof(double) + 1);
    for (const int64_t b : order) {
      Machine<Job> machine;
      machine.generator.seed(seed + unsigned(b));
      machine.skip = skip;
      std::memset(memory.data(), 0xff, memory.size() * sizeof(double));  // NaN
      machine.blocks.push_back(job.block(int(b), threads, memory.data()));
      machine.threads.emplace_back(size_t(threads));
      for (int t = 0; t < threads; ++t) machine.threads[0][size_t(t)].id = t;
      job.run(machine);
      machine.finish();
    }
  }
};

struct Case {
  int64_t outer;
  int channels;
  int64_t inner;
  int receivers = 1;
  bool per_shot = false, per_receiver = false;
  double offset = 0.3;        // of x, whose deviation is 1
  int64_t most = 227 * 1024;  // bytes of shared memory
  int shift = 0;              // where the arrays begin, in values: a view that is not aligned

  std::string describe() const {
    return std::to_string(outer) + " x " + std::to_string(channels) + " x " + std::to_string(inner) +
           (per_shot ? ", shot term" : "") + (per_receiver ? ", receiver term" : "") + ", mean " +
           std::to_string(offset) + ", shared " + std::to_string(most) + ", shifted by " + std::to_string(shift);
  }
};

// Values that begin `shift` behind an address which is a multiple of 16.
template <class T>
struct Values {
  std::vector<T> all;
  T* first = nullptr;
  size_t count = 0;

  Values(size_t n, int shift) : all(n + 16 + size_t(shift)), count(n) {
    const size_t past = reinterpret_cast<uintptr_t>(all.data()) % 16;
    first = all.data() + (past ? (16 - past) / sizeof(T) : 0) + shift;
    std::memset(static_cast<void*>(all.data()), 0xff, all.size() * sizeof(T));
  }
  Values(const Values&) = delete;  // `first` points into `all`
  Values& operator=(Values&&) = default;
  double operator[](int64_t i) const { return double(widen(first[i])); }
  // Nobody wrote before the first value or behind the last.
  bool intact() const {
    auto untouched = [](const T* from, const T* to) {
      const auto* begin = reinterpret_cast<const unsigned char*>(from);
      const auto* end = reinterpret_cast<const unsigned char*>(to);
      return std::all_of(begin, end, [](unsigned char byte) { return byte == 0xff; });
    };
    return untouched(all.data(), first) && untouched(first + count, all.data() + all.size());
  }
  bool same(const Values& other) const { return std::memcmp(first, other.first, count * sizeof(T)) == 0; }
};

template <class T>
void fill(Values<T>& values, std::mt19937& random, double mean, double deviation) {
  std::normal_distribution<double> normal(mean, deviation);
  using Wide = decltype(widen(T{}));
  for (size_t i = 0; i < values.count; ++i) seisfast::narrow(Wide(normal(random)), values.first[i]);
}

template <class S, class A>
struct Run {
  Norm<S, A> p{};
  Values<S> x, per_shot, per_receiver, out, grad_out, grad_x;
  Values<A> scale, shift, mean, variance, grad_scale, grad_shift, workspace;

  explicit Run(const Case& c)
      : x(size_t(c.outer * c.channels * c.inner), c.shift),
        per_shot(size_t(c.outer * (c.channels / c.receivers) * c.inner), c.shift),
        per_receiver(size_t(c.receivers * c.inner), c.shift), out(x.count, c.shift), grad_out(x.count, c.shift),
        grad_x(x.count, c.shift), scale(size_t(c.channels), 0), shift(scale.count, 0), mean(scale.count, 0),
        variance(scale.count, 0), grad_scale(scale.count, 0), grad_shift(scale.count, 0), workspace(0, 0) {
    std::mt19937 random(unsigned(c.outer * 31 + c.channels * 7 + c.inner));
    fill(x, random, c.offset, 1), fill(per_shot, random, 0, 1), fill(per_receiver, random, 0, 1);
    fill(grad_out, random, 0.2, 1);
    fill(scale, random, 1, 0.3), fill(shift, random, 0.1, 0.3);
    p.outer = c.outer, p.channels = c.channels, p.inner = c.inner, p.receivers = c.receivers, p.eps = A(1e-5);
    p.x = x.first, p.out = out.first, p.grad_out = grad_out.first, p.grad_x = grad_x.first;
    if (c.per_shot) p.per_shot = per_shot.first;
    if (c.per_receiver) p.per_receiver = per_receiver.first;
    p.scale = scale.first, p.shift = shift.first, p.mean = mean.first, p.variance = variance.first;
    p.grad_scale = grad_scale.first, p.grad_shift = grad_shift.first;
  }

  void give_statistics(double offset) {
    std::mt19937 random(5);
    fill(mean, random, offset, 0.3), fill(variance, random, 1.5, 0.1);
    p.given = true;
  }

  void go(bool adjoint, const OnCpu& launch, int64_t most) {
    workspace = Values<A>(size_t(seisfast::norm_workspace(p, adjoint)), 0);
    p.workspace = workspace.first;
    norm::channels_last(p) ? norm::run_channels(p, adjoint, launch) : norm::run_traces(p, adjoint, most, launch);
  }

  void on_cpu(int threads) {
    for (const bool adjoint : {false, true}) seisfast::cpu_norm(p, adjoint, threads);
  }

  bool same(const Run& b) const {
    return mean.same(b.mean) && variance.same(b.variance) && out.same(b.out) && grad_x.same(b.grad_x) &&
           grad_scale.same(b.grad_scale) && grad_shift.same(b.grad_shift);
  }
};

// |a - b| / |b| over all elements.
struct Distance {
  double difference = 0, size = 0;
  void operator()(double a, double b) { difference += (a - b) * (a - b), size += b * b; }
  bool within(double tolerance, const char* what, const Case& c) const {
    const double distance = size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
    if (distance <= tolerance) return true;
    std::printf("%s is off by %.2e: %s\n", what, distance, c.describe().c_str());
    return false;
  }
};

// Plain loops. The ReLU is closed where the run closed it, or a value at its edge would differ by all of its gradient.
template <class S, class A>
bool right(const Run<S, A>& r, const Case& c, double tolerance) {
  const Norm<S, A>& p = r.p;
  const int64_t shots = c.channels / c.receivers;
  const double values = double(c.outer) * double(c.inner);
  Distance means, variances, outs, grads, scales, shifts;
  for (int channel = 0; channel < c.channels; ++channel) {
    std::vector<double> y, n, g;
    for (int64_t o = 0; o < c.outer; ++o)
      for (int64_t i = 0; i < c.inner; ++i) {
        double value = r.x[(o * c.channels + channel) * c.inner + i];
        if (p.per_shot) value += r.per_shot[(o * shots + channel / c.receivers) * c.inner + i];
        if (p.per_receiver) value += r.per_receiver[channel % c.receivers * c.inner + i];
        y.push_back(value);
      }
    double mean = 0, variance = 0;
    for (const double v : y) mean += v / values;
    for (const double v : y) variance += (v - mean) * (v - mean) / values;
    if (p.given) mean = r.mean[channel], variance = r.variance[channel];
    means(r.mean[channel], mean), variances(r.variance[channel], variance);
    const double inverse = 1 / std::sqrt(variance + double(p.eps));
    double sum_g = 0, sum_gn = 0;
    for (size_t k = 0; k < y.size(); ++k) {
      const int64_t at = (int64_t(k) / c.inner * c.channels + channel) * c.inner + int64_t(k) % c.inner;
      n.push_back((y[k] - mean) * inverse);
      outs(r.out[at], std::fmax(r.scale[channel] * n[k] + r.shift[channel], 0));
      g.push_back(r.out[at] > 0 ? r.grad_out[at] : 0);
      sum_g += g[k], sum_gn += g[k] * n[k];
    }
    scales(r.grad_scale[channel], sum_gn), shifts(r.grad_shift[channel], sum_g);
    for (size_t k = 0; k < y.size(); ++k) {
      const int64_t at = (int64_t(k) / c.inner * c.channels + channel) * c.inner + int64_t(k) % c.inner;
      const double centred = p.given ? g[k] : g[k] - sum_g / values - n[k] * sum_gn / values;
      grads(r.grad_x[at], r.scale[channel] * inverse * centred);
      // One or two values: the gradient cancels, and what is left is rounding of what it is made of.
      if (values <= 2) grads.size += std::pow(r.scale[channel] * inverse * r.grad_out[at], 2);
    }
  }
  const double sums = std::fmin(tolerance, 1e-5);  // of all the values: in A, whatever their storage
  return bool(int(means.within(sums, "mean", c)) & int(variances.within(sums, "variance", c)) &
              int(outs.within(tolerance, "output", c)) & int(grads.within(tolerance, "gradient of y", c)) &
              int(scales.within(sums, "gradient of scale", c)) & int(shifts.within(sums, "gradient of shift", c)));
}

struct Count {
  int passed = 0, failed = 0;
  void operator()(bool ok) { ok ? ++passed : ++failed; }
};

template <class S, class A>
void check_case(const Case& c, double tolerance, Count& count) {
  for (const bool given : {false, true}) {
    Run<S, A> first(c), second(c);
    for (Run<S, A>* run : {&first, &second}) {
      if (given) run->give_statistics(c.offset);
      for (const bool adjoint : {false, true}) {
        run->go(adjoint, OnCpu{run == &first ? 1u : 17u}, c.most);
        const bool intact = run->workspace.intact() && run->out.intact() && run->grad_x.intact();
        if (!intact) std::printf("written beyond the end: %s\n", c.describe().c_str());
        count(intact);
      }
    }
    count(right(first, c, tolerance));
    const bool same = first.same(second);
    if (!same) std::printf("the order of threads changes bits: %s\n", c.describe().c_str());
    count(same);
    Run<S, A> cpu(c), threaded(c);
    for (Run<S, A>* run : {&cpu, &threaded}) {
      if (given) run->give_statistics(c.offset);
      run->on_cpu(run == &cpu ? 1 : 3);
      count(run->out.intact() && run->grad_x.intact());
    }
    count(right(cpu, c, tolerance) && cpu.same(threaded));
  }
}

void check_everything(Count& count) {
  std::vector<Case> cases = {
      // A block per channel.
      {3, 6, 40, 3, true, true},
      {3, 6, 40, 3, true, false},
      {3, 6, 40, 3, false, true},
      {2, 4, 37},                                     // no vectors
      {4, 8, 64, 4, true, true, 0.3, 227 * 1024, 1},  // nor in a view that begins anywhere
      {4, 8, 64, 4, true, true, 0.3, 227 * 1024, 2},
      {4, 8, 64, 4, true, true, 0.3, 227 * 1024, 4},
      {1, 1, 5, 1, true, true},
      {1, 3, 1, 3, true, true},   // one value
      {50, 2, 1, 2, true, true},  // as channels last, but for the terms
      {3, 2, 1200},               // rows longer than a block, not a multiple of it
      {5, 2, 257},
      {300, 1, 8, 1, true, true},  // rows shorter
      {12, 4, 1024, 2, true, true},
      {9, 2, 1000, 2, true, true, 0.3, 40 * 1024},  // kept in part
      {9, 2, 999, 1, false, false, 0.3, 30 * 1024},
      {12, 4, 256, 2, true, true, 100},
      {12, 4, 512, 1, false, false, -100},
      // Channels last.
      {700, 64, 1},
      {700, 64, 1, 1, false, false, 0.3, 0, 1},
      {700, 64, 1, 1, false, false, 0.3, 0, 4},
      {1001, 4, 1},
      {1001, 5, 1},
      {999, 33, 1},
      {50, 12, 1},
      {130, 512, 1},
      {1, 7, 1},
      {2, 1, 1},
      {5000, 1, 1},
      {40, 2050, 1},  // several blocks side by side, the last of them not full
      {21, 1100, 1},
      {600, 24, 1, 1, false, false, 100},
      {3000, 5, 1, 1, false, false, -100},
  };
  for (const Case& c : cases) {
    const int before = count.failed;
    check_case<float, float>(c, 1e-5, count);
    check_case<double, double>(c, 1e-12, count);
    check_case<Bf16, float>(c, 1e-2, count);
    if (count.failed > before) std::printf("  (of case %s)\n", c.describe().c_str());
  }
  if (kSmall) return;
  check_case<float, float>({256, 2, 256, 1, true, true}, 1e-5, count);
  check_case<Bf16, float>({100000, 8, 1}, 1e-2, count);
  check_case<float, float>({4, 70000, 1}, 1e-5, count);  // more channels than a grid has rows
}

// Every barrier alone, but for those where by chance a thread waits for nobody but itself.
bool missing_barriers_show() {
  struct {
    Case c;
    int waits;
  } const shapes[] = {{{6, 2, 512, 1, true, true}, 9}, {{2000, 5, 1}, 6}};
  bool all = true;
  for (const auto& shape : shapes)
    for (int skip = 0; skip < shape.waits; ++skip)
      for (const bool adjoint : {false, true}) {
        bool shows = false;
        for (unsigned seed = 1; seed < 9 && !shows; ++seed) {
          Run<float, float> good(shape.c), bad(shape.c);
          for (Run<float, float>* run : {&good, &bad}) {
            if (adjoint) run->go(false, OnCpu{seed}, shape.c.most);
            run->go(adjoint, OnCpu{seed, run == &bad ? skip : -1}, shape.c.most);
          }
          shows = !good.same(bad);
        }
        if (!shows) std::printf("missing barrier %d was not noticed: %s\n", skip, shape.c.describe().c_str());
        all = all && shows;
      }
  return all;
}

// As many launches as the interface promises, and no statistics written where they are given.
void check_launches(Count& count) {
  const Case cases[] = {{2000, 64, 1}, {3, 6, 40, 3, true, true}};
  const int expected[2][4] = {{3, 1, 3, 2}, {1, 1, 1, 1}};  // forward: training, given; adjoint: the same
  for (int k = 0; k < 2; ++k)
    for (int how = 0; how < 4; ++how) {
      Run<float, float> run(cases[k]);
      run.give_statistics(0);
      const std::vector<float> mean(run.mean.first, run.mean.first + 6),
          variance(run.variance.first, run.variance.first + 6);
      run.p.given = how % 2;
      int launches = 0;
      OnCpu launch{1};
      launch.launches = &launches;
      run.go(how >= 2, launch, cases[k].most);
      bool untouched = true;
      if (how > 0)
        for (size_t i = 0; i < mean.size(); ++i)
          untouched = untouched && run.p.mean[i] == mean[i] && run.p.variance[i] == variance[i];
      count(launches == expected[k][how] && untouched);
    }
}

// A NaN is not hidden by the ReLU, and stays in its channel.
bool nan_shows(const Case& c) {
  Run<float, float> run(c);
  run.x.first[0] = std::numeric_limits<float>::quiet_NaN();
  run.go(false, OnCpu{1}, c.most);
  bool shows = true;
  for (int64_t i = 0; i < run.p.elements(); ++i)
    shows = shows && std::isnan(run.out[i]) == (i / c.inner % c.channels == 0);
  return shows;
}

// The last block of more than 2^31 values; memory that nobody touches costs nothing.
template <class F>
bool far_block(int64_t outer, int channels, int64_t inner, int64_t block, F index) {
  Norm<Bf16, float> p{};
  p.outer = outer, p.channels = channels, p.inner = inner, p.receivers = 1, p.given = true;
  const size_t bytes = size_t(p.elements()) * sizeof(Bf16);
  void* memory[2];
  for (void*& m : memory) {
    m = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) return false;
  }
  Bf16* const x = static_cast<Bf16*>(memory[0]);
  Bf16* const out = static_cast<Bf16*>(memory[1]);
  std::vector<float> scale(size_t(channels), 2), shift(size_t(channels), 1), mean(size_t(channels), 0),
      variance(size_t(channels), 1);
  p.x = x, p.out = out, p.scale = scale.data(), p.shift = shift.data(), p.mean = mean.data();
  p.variance = variance.data();
  for (int64_t k = 0; k < 100; ++k) seisfast::narrow(float(k), x[index(k)]);
  OnCpu launch{1};
  launch.only = block;
  norm::channels_last(p) ? norm::run_channels(p, false, launch) : norm::run_traces(p, false, 227 * 1024, launch);
  bool right = true;
  for (int64_t k = 0; k < 100; ++k) right = right && std::fabs(widen(out[index(k)]) - float(2 * k + 1)) <= 1;
  for (void* m : memory) munmap(m, bytes);
  if (!right) std::printf("wrong beyond 2^31 values: %lld x %d x %lld\n", (long long)outer, channels, (long long)inner);
  return right;
}

}  // namespace

int main() {
  Count count;
  check_everything(count);
  count(missing_barriers_show());
  check_launches(count);
  count(nan_shows({4, 3, 20}));
  count(nan_shows({400, 5, 1}));
  {
    const int64_t inner = 40000, channels = 70000;  // the last channel
    count(far_block(1, int(channels), inner, channels - 1, [=](int64_t k) { return channels * inner - 1 - 7 * k; }));
    const int64_t rows = int64_t(1) << 28;  // the last rows: apply begins with them
    count(far_block(rows, 9, 1, 0, [=](int64_t k) { return rows * 9 - 1 - 7 * k; }));
  }
  std::printf("%d passed, %d failed\n", count.passed, count.failed);
  return count.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
