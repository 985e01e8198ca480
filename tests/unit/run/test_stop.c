/* Stop texts, in the pieces in which an answer comes. */
#include "engine/run/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static void stop_texts_are_found_across_pieces(void **state)
{
    static const char whole[] = "aab aaab done";
    (void)state;
    for (size_t step = 1; step < sizeof(whole); step++) {
        struct flo_stop stop = {.n_texts = 2};
        struct flo_buf out = {0};
        stop.texts[0].count = 4;
        memcpy(stop.texts[0].bytes, "aaab", 4);
        stop.texts[1].count = 2;
        memcpy(stop.texts[1].bytes, "zz", 2);
        bool stops = false;
        for (size_t at = 0; at < sizeof(whole) - 1 && !stops; at += step) {
            size_t left = sizeof(whole) - 1 - at;
            stops = flo_stop_add(&stop, whole + at, left < step ? left : step, &out);
        }
        assert_true(stops);
        assert_int_equal(stop.ended, 1);
        assert_string_equal(out.data, "aab ");
        flo_buf_deinit(&out);
        flo_buf_deinit(&stop.held);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_texts_are_found_across_pieces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
