// Owns what test_embedding compares with: trace_embedding and its gradients as loops in double, and made-up gathers.
#pragma once
#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "features/params.h"

using Values = std::vector<double>;

struct Case {
  int gathers, receivers, samples, channels;
  double eps, offset;
};

// How a map is rounded where the kernels store one.
using Rounding = double (*)(double);

struct Gathers {
  Case c;
  Values x, w[3], b[3], grad_out;

  Gathers(const Case& c, unsigned seed, Rounding stored) : c(c) {
    std::mt19937 generator(seed);
    std::normal_distribution<double> normal;
    const int k = c.channels, sizes[] = {k, k * k, k}, biases[] = {k, k, 1};
    x.resize(size_t(c.gathers) * size_t(c.receivers) * size_t(c.samples));
    grad_out.resize(x.size());
    for (double& value : x) value = stored(float(c.offset + normal(generator)));
    for (double& value : grad_out) value = stored(float(normal(generator)));
    for (int layer = 0; layer < 3; ++layer) {
      w[layer].resize(size_t(sizes[layer] * seisfast::kWindow));
      b[layer].resize(size_t(biases[layer]));
      for (double& value : w[layer]) value = float(normal(generator) / 5);
      for (double& value : b[layer]) value = float(normal(generator));
    }
  }
};

// One gather; maps are [channels, receivers, samples].
struct Reference {
  const Gathers& of;
  Rounding stored;
  int rows, samples, channels;
  Values map[3], out, grad_x, grad_w[3], grad_b[3];  // map: normalised, before the ReLU
  double mean[3], scale[3], nearest = 1e300;         // nearest: of any normalised value to 0

  Reference(const Gathers& of, int gather, Rounding stored)
      : of(of), stored(stored), rows(of.c.receivers), samples(of.c.samples), channels(of.c.channels) {
    const size_t size = size_t(rows) * size_t(samples);
    const auto part = [&](const Values& all) {
      return Values(all.begin() + long(size) * gather, all.begin() + long(size) * (gather + 1));
    };
    const Values x = part(of.x);
    for (int layer = 0; layer < 3; ++layer) {
      map[layer] = convolved(layer ? relu(map[layer - 1]) : x, layer);
      normalise(layer);
    }
    out = relu(map[2]);
    Values g = part(of.grad_out);
    for (int layer = 2; layer >= 0; --layer) {
      through_norm(g, layer);
      weights_gradient(layer ? relu(map[layer - 1]) : x, g, layer);
      g = back(g, layer);
      if (layer == 1) std::transform(g.begin(), g.end(), g.begin(), stored);
    }
    grad_x = g;
  }

 private:
  int inputs(int layer) const { return layer == 0 ? 1 : channels; }
  int outputs(int layer) const { return layer == 2 ? 1 : channels; }

  static Values relu(Values values) {
    for (double& value : values) value = std::max(value, 0.0);
    return values;
  }

  // visit(place in the output, place in the input, place of the weight) for every product of a convolution.
  template <class Visit>
  void products(int layer, Visit visit) const {
    for (int o = 0; o < outputs(layer); ++o)
      for (int i = 0; i < inputs(layer); ++i)
        for (int dr = -2; dr <= 2; ++dr)
          for (int dt = -2; dt <= 2; ++dt)
            for (int r = std::max(0, -dr); r < std::min(rows, rows - dr); ++r)
              for (int t = std::max(0, -dt); t < std::min(samples, samples - dt); ++t)
                visit(size_t((o * rows + r) * samples + t), size_t((i * rows + r + dr) * samples + t + dt),
                      size_t(((o * inputs(layer) + i) * 5 + dr + 2) * 5 + dt + 2));
  }

  Values convolved(const Values& from, int layer) const {
    const size_t plane = size_t(rows) * size_t(samples);
    Values to(plane * size_t(outputs(layer)));
    for (size_t k = 0; k < to.size(); ++k) to[k] = of.b[layer][k / plane];
    products(layer, [&](size_t y, size_t x, size_t weight) { to[y] += of.w[layer][weight] * from[x]; });
    return to;
  }

  void normalise(int layer) {
    Values& values = map[layer];
    double sum = 0, squares = 0;
    for (const double value : values) sum += value;
    mean[layer] = sum / double(values.size());
    for (const double value : values) squares += (value - mean[layer]) * (value - mean[layer]);
    scale[layer] = 1 / std::sqrt(squares / double(values.size()) + of.c.eps);
    for (double& value : values) {
      value = stored((stored(value) - mean[layer]) * scale[layer]);
      nearest = std::min(nearest, std::abs(value));
    }
  }

  void through_norm(Values& g, int layer) const {
    const Values& n = map[layer];
    double plain = 0, product = 0;
    for (size_t k = 0; k < g.size(); ++k) {
      if (n[k] <= 0) g[k] = 0;
      plain += g[k] / double(g.size());
      product += g[k] * n[k] / double(g.size());
    }
    for (size_t k = 0; k < g.size(); ++k) g[k] = stored(scale[layer] * (g[k] - plain - n[k] * product));
  }

  void weights_gradient(const Values& from, const Values& g, int layer) {
    grad_w[layer].assign(of.w[layer].size(), 0);
    grad_b[layer].assign(of.b[layer].size(), 0);
    products(layer, [&](size_t y, size_t x, size_t weight) { grad_w[layer][weight] += g[y] * from[x]; });
    for (size_t k = 0; k < g.size(); ++k) grad_b[layer][k / (size_t(rows) * size_t(samples))] += g[k];
  }

  Values back(const Values& g, int layer) const {
    Values to(size_t(rows) * size_t(samples) * size_t(inputs(layer)));
    products(layer, [&](size_t y, size_t x, size_t weight) { to[x] += of.w[layer][weight] * g[y]; });
    return to;
  }
};
