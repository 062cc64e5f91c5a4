// A tile of keys and values as the kernels read it: where it lies in the pool, or where blocks are no whole vectors of tokens, collected from there.
#pragma once
#include "attention_tile.h"

namespace lorikeet::LORIKEET_ISA {

// Where the vectors of Vec::N tokens of a tile lie. Of those that begin before `first`'s or behind the last nothing is known: blocks before every window may have
// been given back, and their place in the table is not to be read.
struct TilePlaces {
  int begin, end;                   // vectors that are there
  int64_t view[kKeyTile / Vec::N];  // of the block
  int64_t offset[kKeyTile / Vec::N];

  TilePlaces(const AttentionArgs& a, const int32_t* table, int64_t start, int64_t first, int keys)
      : begin(int(std::max<int64_t>(0, first - start)) / Vec::N), end((keys + Vec::N - 1) / Vec::N) {
    for (int g = begin; g < end; g++) {
      const int64_t token = start + g * Vec::N;
      view[g] = table[token / a.block_size];
      offset[g] = token % a.block_size;
    }
  }
};

template <typename Element>
void point_at(const AttentionArgs& a, const TilePlaces& places, int32_t head, KeyTile<Element>& tile) {
  const int64_t size = a.head_size, block = a.block_size;
  tile.key_stride = block;
  for (int g = places.begin; g < places.end; g++) {
    const CacheView<Element> keys(a, a.key_cache, places.view[g]), values(a, a.value_cache, places.view[g]);
    const int64_t at = head * block + places.offset[g];
    tile.key[g] = keys.elements + head * size * block + places.offset[g];
    for (int i = 0; i < Vec::N; i++) tile.value[g * Vec::N + i] = values.elements + (at + i) * size;
    if constexpr (Element::scaled) {
      Vec::load(keys.scales + at).store(tile.key_scale + g * Vec::N);
      Vec::load(values.scales + at).store(tile.value_scale + g * Vec::N);
    }
  }
}

// What is read after the tile: where there is nothing more, the tile itself.
template <typename Element>
void look_ahead(const AttentionArgs& a, const TilePlaces& places, int32_t head, KeyTile<Element>& tile) {
  const int64_t size = a.head_size, block = a.block_size;
  tile.ahead = true;
  for (int g = 0; g < kKeyTile / Vec::N; g++) {
    const bool there = g >= places.begin && g < places.end;
    tile.next_key[g] = there ? CacheView<Element>(a, a.key_cache, places.view[g]).elements + head * size * block + places.offset[g] : tile.key[g];
    tile.next_value[g] = there ? CacheView<Element>(a, a.value_cache, places.view[g]).elements + (head * block + places.offset[g]) * size : tile.value[g * Vec::N];
  }
}

// The same from blocks of any size, token by token, into `room`: [head_size][kKeyTile] keys, then [kKeyTile][head_size] values, with their scales multiplied in.
template <typename Element>
void collect(const AttentionArgs& a, const int32_t* table, int64_t start, int64_t first, int keys, int32_t head, float* room, KeyTile<CacheF32>& tile) {
  const int64_t size = a.head_size, block = a.block_size;
  float* values_at = room + size * kKeyTile;
  tile.key_stride = kKeyTile;
  for (int g = 0; g < kKeyTile / Vec::N; g++) tile.key[g] = room + g * Vec::N;
  std::fill_n(room, size * kKeyTile, 0.0f);
  for (int k = int(std::max<int64_t>(0, first - start)); k < keys; k++) {
    const int64_t view = table[(start + k) / block], offset = (start + k) % block, at = head * block + offset;
    const CacheView<Element> from_keys(a, a.key_cache, view), from_values(a, a.value_cache, view);
    const float key_scale = Element::scaled ? from_keys.scales[at] : 1, value_scale = Element::scaled ? from_values.scales[at] : 1;
    for (int64_t d = 0; d < size; d++) {
      room[d * kKeyTile + k] = key_scale * Element::widen(from_keys.elements[(head * size + d) * block + offset]);
      values_at[k * size + d] = value_scale * Element::widen(from_values.elements[at * size + d]);
    }
    tile.value[k] = values_at + k * size;
  }
}

// One token's key and value of one head, ready to be read, to the cache.
template <typename Element>
void write_token(const AttentionArgs& a, int64_t slot, int32_t head, const float* key, const float* value) {
  const int64_t size = a.head_size, block = a.block_size, offset = slot % block, at = head * block + offset;
  const CacheView<Element> keys(a, a.key_cache, slot / block), values(a, a.value_cache, slot / block);
  const float key_scale = write_elements<Element>(key, size, keys.elements + head * size * block + offset, block);
  const float value_scale = write_elements<Element>(value, size, values.elements + at * size, 1);
  if constexpr (Element::scaled) {
    keys.scales[at] = key_scale;
    values.scales[at] = value_scale;
  }
}

}  // namespace lorikeet::LORIKEET_ISA
