/* The longest match by suffix array against the longest by looking at every
 * offset, with the narrow and the wide array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "updater/delta/match.h"

static uint32_t seed;

static uint8_t next_byte(unsigned letters)
{
    seed = seed * 1664525 + 1013904223;
    return (uint8_t)((seed >> 16) % letters);
}

static uint64_t longest_by_force(const uint8_t *old, uint64_t old_bytes, const uint8_t *text,
                                 uint64_t bytes)
{
    uint64_t best = 0;

    for (uint64_t i = 0; i < old_bytes; i++) {
        uint64_t run = 0;
        while (run < bytes && i + run < old_bytes && old[i + run] == text[run]) {
            run++;
        }
        best = run > best ? run : best;
    }
    return best;
}

static void must_find_the_longest(uint64_t narrow_bytes_max, uint64_t old_bytes, unsigned letters)
{
    static uint8_t old[700];
    static uint8_t text[300];
    struct match_index *index = NULL;
    struct flo_err err = {0};

    for (uint64_t i = 0; i < old_bytes; i++) {
        old[i] = next_byte(letters);
    }
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = next_byte(letters);
    }
    if (old_bytes > 200) { /* a long one to be found */
        memcpy(text + 50, old + old_bytes - 150, 150);
    }
    assert_int_equal(flo_match_index_open(old, old_bytes, narrow_bytes_max, &index, &err), 0);
    for (uint64_t i = 0; i < sizeof text; i++) {
        uint64_t where = 0;
        uint64_t left = sizeof text - i;
        uint64_t found = flo_match_longest(index, text + i, left, &where);
        uint64_t longest = longest_by_force(old, old_bytes, text + i, left);
        /* runs below two bytes count as none */
        assert_int_equal(found, longest < 2 ? 0 : longest);
        if (found > 0) {
            assert_true(where + found <= old_bytes);
            assert_memory_equal(old + where, text + i, (size_t)found);
        }
    }
    flo_match_index_close(index);
}

static void the_longest_match_is_found_for_every_text(void **state)
{
    (void)state;
    static const unsigned letters[] = {1, 2, 3, 17, 256};
    static const uint64_t lengths[] = {0, 1, 2, 3, 4, 5, 33, 256, 700};

    for (size_t i = 0; i < FLO_COUNT(letters); i++) {
        for (size_t j = 0; j < FLO_COUNT(lengths); j++) {
            must_find_the_longest(MATCH_NARROW_BYTES_MAX, lengths[j], letters[i]);
            must_find_the_longest(0, lengths[j], letters[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_match_is_found_for_every_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
