#include "proto/lifetime.h"

uint64_t flo_lifetime_due_ms(uint64_t life_ms)
{
    return life_ms - life_ms / 3;
}

uint64_t flo_lifetime_ending_ms(uint64_t life_ms)
{
    return life_ms - life_ms / 6;
}

uint64_t flo_lifetime_spread_ms(uint64_t life_ms)
{
    return life_ms / 12;
}
