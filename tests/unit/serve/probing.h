/* A probe of a candidate with a real engine, and its result. */
#ifndef FLOTILLA_TESTS_SERVE_PROBING_H
#define FLOTILLA_TESTS_SERVE_PROBING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <flotilla/golden.h>
#include <stdlib.h>

#include "tests/unit/serve/serve_world.h"

#define GOLDEN "tests/models/golden-tiny-v2.json"

/* Results of the last probe. */
static bool has_result;
static struct flo_probe_result result;

static inline void on_probed(void *context, const struct flo_probe_result *got)
{
    (void)context;
    result = *got;
    has_result = true;
}

/* Probe the candidate that is loaded; the document's cases `times` times, as if
 * so many files held them. */
static inline int start_probe(const char *text, size_t bytes, int times,
                              const struct flo_probe_limits *limits, struct flo_err *err)
{
    struct flo_golden golden, more;

    assert_int_equal(flo_golden_read(text, bytes, &golden, err), 0);
    for (int i = 1; i < times; i++) {
        assert_int_equal(flo_golden_read(text, bytes, &more, err), 0);
        assert_int_equal(flo_golden_join(&golden, &more, err), 0);
        assert_int_equal(more.n_cases, 0);
    }
    return flo_serve_probe(world.serve, 0, &golden, limits, on_probed, NULL, err);
}

static inline void probe(const char *model, const char *golden_path,
                         const struct flo_probe_limits *limits)
{
    char *golden;
    size_t bytes;
    struct flo_err err = {0};
    assert_int_equal(flo_file_read(golden_path, 1u << 20, &golden, &bytes, &err), 0);
    open_candidate(model, "9.0.0");
    has_result = false;
    if (start_probe(golden, bytes, 1, limits, &err) < 0) {
        fail_msg("%s", err.what);
    }
    assert_int_equal(start_probe(golden, bytes, 1, limits, &err), FLO_E_STATE); /* one at a time */
    RUN_UNTIL(has_result);
    free(golden);
    flo_serve_unload(world.serve, 0, FLO_ROLE_CANDIDATE, false);
}

static const struct flo_probe_limits usual = {
    .speed_ratio_max = 1.5, .memory_bytes_max = 64000000, .timeout_ms = WAITS_HANG_MS};

static inline void expect_verdict(const char *model, int error, uint32_t passed)
{
    probe(model, GOLDEN, &usual);
    if (result.error != error || result.passed != passed || result.cases != 26) {
        fail_msg("%s: %s, %u of %u: %s", model, flo_error_id(result.error), result.passed,
                 result.cases, result.what);
    }
}

#endif
