/* Checkup of any device, and any line of its log, drawn from seeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/core/checkup/checkup.h"

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)((z ^ (z >> 31)) % below);
}

static bool has(const struct flo_findings *found, enum flo_finding_kind kind)
{
    for (size_t i = 0; i < found->count; i++) {
        if (found->list[i].kind == kind) {
            return true;
        }
    }
    return false;
}

/* ---- findings ---- */

static struct flo_checkup draw_checkup(void)
{
    /* The machine's word for the first one is "c". */
    static const char *const kernels[] = {"ref", "", "c", "sse42", "avx2", "avx512", "neon"};
    struct flo_checkup c = {.cpus = draw(3) * 2,
                            .threads = draw(6),
                            .is_served = draw(2) == 0,
                            .is_live = draw(2) == 0,
                            .is_packed = draw(2) == 0,
                            .can_be_packed = draw(2) == 0,
                            .context = draw(2) * 100000,
                            .token_bytes = draw(2) * UINT64_C(800000000),
                            .memory_bytes_per_s = draw(2) * UINT64_C(9000000000),
                            .int8_ops_per_s = draw(2) * UINT64_C(90000000000),
                            .token_us = draw(2) * 400000,
                            .disk_free_bytes = draw(2) * FLO_CHECKUP_DISK_MIN,
                            .has_certificate = draw(2) == 0,
                            .certificate_days = draw(40),
                            .sandbox_lacks = draw(2) == 0 ? "landlock" : NULL,
                            .rung = draw(2),
                            .rung_why = draw(2) == 0 ? "heat" : NULL,
                            .degraded = draw(2) == 0 ? "disk" : NULL};

    c.sensed = (struct flo_sensed){.psi_cpu = draw(2) * 9000,
                                   .psi_memory = draw(2) * 9000,
                                   .psi_io = draw(2) * 9000,
                                   .cgroup_bytes = draw(2) * 1000,
                                   .cgroup_bytes_max = draw(2) * 1000,
                                   .has_zone = draw(2) == 0,
                                   .zone_mc = draw(100) * 1000,
                                   .trip_mc = draw(2) * 70000,
                                   .is_discharging = draw(2) == 0,
                                   .load_centi = draw(2) * 900,
                                   .clock_khz = draw(3) * 1000000,
                                   .clock_khz_max = 2400000,
                                   .memory_bytes = draw(2) * (UINT64_C(4) << 30),
                                   .memory_free_bytes = draw(2) * (UINT64_C(2) << 30)};
    snprintf(c.kernel, sizeof(c.kernel), "%s", kernels[draw(FLO_COUNT(kernels))]);
    snprintf(c.kernel_best, sizeof(c.kernel_best), "%s", kernels[1 + draw(FLO_COUNT(kernels) - 1)]);
    return c;
}

static void each_finding_has_its_cause_and_its_words(void **state)
{
    (void)state;
    seed = 1;
    for (int k = 0; k < 4000; k++) {
        struct flo_checkup c = draw_checkup();
        struct flo_findings found;
        struct flo_findings engine;
        const struct flo_sensed *s = &c.sensed;

        flo_checkup_find_engine(&c, &engine);
        flo_checkup_find_machine(&c, &found);
        assert_int_equal(has(&engine, FLO_FINDING_DOWN), c.is_served && !c.is_live);
        assert_int_equal(has(&found, FLO_FINDING_DEGRADED), c.degraded != NULL);
        assert_int_equal(has(&found, FLO_FINDING_SANDBOX), c.sandbox_lacks != NULL);
        assert_int_equal(has(&found, FLO_FINDING_BATTERY), s->is_discharging);
        assert_int_equal(has(&found, FLO_FINDING_RUNG), c.rung > 0);
        assert_int_equal(has(&found, FLO_FINDING_DISK), c.disk_free_bytes < FLO_CHECKUP_DISK_MIN);
        assert_int_equal(has(&engine, FLO_FINDING_PACKING),
                         c.is_live && c.can_be_packed && !c.is_packed);
        assert_int_equal(has(&engine, FLO_FINDING_THREADS), c.is_live && c.threads > c.cpus);
        assert_true(!has(&found, FLO_FINDING_HEAT) || s->has_zone);
        assert_true(!has(&found, FLO_FINDING_CLOCK) || s->clock_khz < s->clock_khz_max);
        assert_true(!has(&found, FLO_FINDING_MEMORY_FREE) || s->memory_bytes > 0);
        assert_true(!has(&engine, FLO_FINDING_KERNEL) || strcmp(c.kernel, c.kernel_best) != 0);
        assert_true(!has(&engine, FLO_FINDING_SPEED) || c.token_us > 0);
        for (size_t i = 0; i < found.count; i++) {
            assert_true(found.list[i].what[0] != '\0');
        }
        for (size_t i = 0; i < engine.count; i++) {
            assert_false(has(&found, engine.list[i].kind));
        }
    }
}

/* ---- secrets ---- */

#define RUN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/"

static const char secret[] = "q7Tz0Kx9Vb3Lm5Rw1Yc8Nd2Pf4";

static void no_line_of_a_log_shows_a_secret(void **state)
{
    static const char *const pieces[] = {
        "token=",   "Token: ",   "password\": \"",
        "bearer ",  "secret = ", "https://me:",
        "@host/x ", "https://",  "sha256:",
        "/a/b ",    "\"",        " ",
        "prompt=",  "\xc3\xa4",  "\x01",
        "é ",       "flt1.",     "-",
        "tokens ",  "=",         "deadbeefdeadbeefdeadbeefdeadbeef"};
    static char line[2 * FLO_REDACT_BYTES_MAX];
    static char out[FLO_REDACT_BYTES_MAX + 1];
    (void)state;

    seed = 1;
    for (int k = 0; k < 20000; k++) {
        size_t used = 0;
        uint32_t most = draw(20) == 0 ? 400 : 12;
        line[0] = '\0';
        for (uint32_t i = draw(most); i > 0; i--) {
            const char *piece = draw(4) == 0 ? secret : pieces[draw(FLO_COUNT(pieces))];
            /* As a part of a digest, of a path or of a word it would be none. */
            bool is_name = piece == secret && used > 0 &&
                           (line[used - 1] == ':' || strchr(RUN, line[used - 1]) != NULL);
            if (!is_name && used + strlen(piece) < sizeof(line)) {
                memcpy(line + used, piece, strlen(piece) + 1);
                used += strlen(piece);
            }
        }
        flo_redact(line, used, out);
        if (strstr(out, secret) != NULL) {
            fail_msg("`%s` gives `%s`", line, out);
        }
        assert_true(strlen(out) <= FLO_REDACT_BYTES_MAX);
        assert_true(flo_redact_json_bytes(out) >= strlen(out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_finding_has_its_cause_and_its_words),
        cmocka_unit_test(no_line_of_a_log_shows_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
