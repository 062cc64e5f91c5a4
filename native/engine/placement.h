// Where a thread computes, and which memory nodes its memory comes from. Linux; elsewhere nothing asks for it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lorikeet {

// The calling thread stays on this CPU. Throws std::runtime_error where the system does not let it.
void pin_thread(int32_t cpu);

// What this thread, and threads that it makes from now on, touch first lies on these nodes as long as there is room. No nodes: nothing changes.
// A system that does not let memory be placed (a container's seccomp filter) leaves it where it falls: that is slower, not wrong.
void prefer_nodes(const std::vector<int32_t>& nodes);
// The same for what any thread touches first in [data, data + bytes), which begins a page.
void prefer_nodes(const std::vector<int32_t>& nodes, void* data, size_t bytes);

}  // namespace lorikeet
