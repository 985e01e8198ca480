/* Retry: computes the random delay before a retry. */
#include <assert.h>

#include <flotilla/agent.h>

uint64_t flo_retry_delay_ms(uint32_t attempt, uint64_t min_ms, uint64_t max_ms, uint64_t random)
{
    uint64_t window = min_ms;

    assert(min_ms <= max_ms);
    while (attempt-- > 0 && window < max_ms) {
        if (!flo_mul_u64(window, 2, &window)) {
            window = max_ms;
        }
    }
    if (window > max_ms) {
        window = max_ms;
    }
    return window == UINT64_MAX ? random : random % (window + 1);
}
