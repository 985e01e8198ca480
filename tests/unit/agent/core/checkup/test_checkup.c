/* Findings of a checkup, and lines of the log without secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "agent/core/checkup/checkup.h"

/* A device that is well: 10 tokens/s of the 12 that its memory gives. */
static struct flo_checkup well(void)
{
    struct flo_checkup checkup = {.cpus = 4,
                                  .threads = 4,
                                  .is_served = true,
                                  .is_live = true,
                                  .is_packed = true,
                                  .can_be_packed = true,
                                  .kernel = "avx2",
                                  .kernel_best = "avx2",
                                  .context = 2048,
                                  .token_bytes = 1000000000,
                                  .memory_bytes_per_s = 12000000000,
                                  .int8_ops_per_s = 100000000000,
                                  .token_us = 100000,
                                  .disk_free_bytes = UINT64_C(8) << 30,
                                  .has_certificate = true,
                                  .certificate_days = 300,
                                  .sensed = {.has_pressure = true,
                                             .battery_pct = -1,
                                             .has_zone = true,
                                             .zone_mc = 50000,
                                             .trip_mc = 85000,
                                             .load_centi = 120,
                                             .memory_bytes = UINT64_C(4) << 30,
                                             .memory_free_bytes = UINT64_C(1) << 30}};

    return checkup;
}

static struct flo_findings find_all(const struct flo_checkup *checkup)
{
    struct flo_findings all, more;

    flo_checkup_find_engine(checkup, &all);
    flo_checkup_find_machine(checkup, &more);
    for (size_t i = 0; i < more.count; i++) {
        assert_true(all.count < FLO_FINDING_COUNT);
        all.list[all.count++] = more.list[i];
    }
    return all;
}

static const struct flo_finding *find(const struct flo_checkup *checkup, const char *id)
{
    static struct flo_findings findings;

    findings = find_all(checkup);
    for (size_t i = 0; i < findings.count; i++) {
        if (strcmp(flo_finding_id(findings.list[i].kind), id) == 0) {
            return &findings.list[i];
        }
    }
    return NULL;
}

static void a_device_that_is_well_has_no_findings(void **state)
{
    struct flo_checkup checkup = well();
    struct flo_findings findings;

    (void)state;
    findings = find_all(&checkup);
    assert_int_equal(findings.count, 0);
}

static void a_slow_device_says_both_speeds(void **state)
{
    struct flo_checkup checkup = well();
    const struct flo_finding *finding;

    (void)state;
    checkup.token_us = 250000;
    finding = find(&checkup, "slow.speed");
    assert_non_null(finding);
    assert_string_equal(finding->what, "4.0 tokens/s of up to 11.9: bound by memory (memory "
                                       "83.33 ms a token, arithmetic 40.00, its steps 1.00)");
    assert_string_equal(flo_finding_unit(finding->kind), "tokens/s");

    checkup.token_us = 0;
    assert_null(find(&checkup, "slow.speed"));
    assert_non_null(find(&checkup, "slow.speed-unknown"));
}

static void each_cause_is_found_alone(void **state)
{
    struct flo_checkup checkup;

    (void)state;
    checkup = well();
    strcpy(checkup.kernel, "ref");
    assert_non_null(find(&checkup, "slow.kernel"));
    checkup = well();
    strcpy(checkup.kernel, "sse42"); /* avx2 failed its check */
    assert_non_null(find(&checkup, "slow.kernel"));
    strcpy(checkup.kernel_best, "sse42");
    assert_null(find(&checkup, "slow.kernel"));
    checkup = well();
    strcpy(checkup.kernel, "avx-vnni"); /* better than its word says */
    assert_null(find(&checkup, "slow.kernel"));
    checkup = well();
    checkup.threads = 8;
    assert_non_null(find(&checkup, "slow.threads"));
    checkup = well();
    checkup.is_packed = false;
    assert_non_null(find(&checkup, "slow.packing"));
    checkup = well();
    checkup.sensed.load_centi = 500;
    assert_non_null(find(&checkup, "slow.load"));
    checkup = well();
    checkup.sensed.psi_memory = 1000;
    assert_non_null(find(&checkup, "slow.memory-pressure"));
    checkup = well();
    checkup.sensed.cgroup_bytes_max = 1000;
    checkup.sensed.cgroup_bytes = 949;
    assert_null(find(&checkup, "slow.cgroup"));
    checkup.sensed.cgroup_bytes = 950;
    assert_non_null(find(&checkup, "slow.cgroup"));
    checkup = well();
    checkup.sensed.zone_mc = 80000;
    assert_non_null(find(&checkup, "slow.heat"));
    checkup = well();
    checkup.sensed.is_discharging = true;
    checkup.sensed.battery_pct = 60;
    assert_non_null(find(&checkup, "slow.battery"));
    checkup = well();
    checkup.certificate_days = 3;
    assert_non_null(find(&checkup, "device.certificate"));
    checkup = well();
    checkup.is_live = false;
    assert_non_null(find(&checkup, "device.down"));
}

static void everything_at_once_has_room(void **state)
{
    struct flo_checkup checkup = {.is_served = true,
                                  .sandbox_lacks = "landlock",
                                  .rung = 2,
                                  .rung_why = "psi",
                                  .has_certificate = true};
    struct flo_findings findings;

    (void)state;
    memset(&checkup.sensed, 0x7f, sizeof(checkup.sensed));
    checkup.sensed.has_pressure = true;
    checkup.sensed.has_zone = true;
    checkup.sensed.is_discharging = true;
    findings = find_all(&checkup);
    assert_true(findings.count >= 5);
    checkup.is_live = true;
    checkup.threads = UINT32_MAX;
    checkup.context = UINT32_MAX;
    checkup.token_bytes = checkup.memory_bytes_per_s = UINT64_MAX;
    findings = find_all(&checkup);
    assert_true(findings.count <= FLO_FINDING_COUNT);
}

static uint64_t rate_of(uint64_t token_bytes, uint64_t memory_bytes_per_s, uint64_t int8_ops_per_s)
{
    const struct flo_checkup checkup = {.cpus = 4,
                                        .threads = 4,
                                        .token_bytes = token_bytes,
                                        .memory_bytes_per_s = memory_bytes_per_s,
                                        .int8_ops_per_s = int8_ops_per_s};
    return flo_checkup_rate_mtps(&checkup);
}

static void a_rate_does_not_overflow(void **state)
{
    (void)state;
    assert_int_equal(rate_of(0, 5, 5), 0);
    assert_int_equal(rate_of(5, 0, 5), 0);
    assert_int_equal(rate_of(669000000, 669000000, 0), 999);
    assert_int_equal(rate_of(UINT64_MAX, UINT64_MAX, UINT64_MAX), 0);
    (void)rate_of(UINT64_MAX / 4, 1, 1);
}

/* Measured on a Zen 5 with 4 busy CPUs: 8.5 GB/s, 59e9 operations. */
static void a_token_is_bound_by_what_takes_longest(void **state)
{
    struct flo_checkup checkup = well();

    (void)state;
    checkup.memory_bytes_per_s = 8465268112;
    checkup.int8_ops_per_s = 59379755569;
    checkup.token_bytes = 1734464; /* tiny: five thousand by bandwidth alone */
    assert_string_equal(flo_checkup_cost(&checkup).bound_by, "the steps of a token");
    assert_in_range(flo_checkup_rate_mtps(&checkup), 800000, 850000);
    checkup.token_bytes = 98362432; /* SmolLM2-135M: 50 to 73 were measured */
    assert_string_equal(flo_checkup_cost(&checkup).bound_by, "memory");
    assert_in_range(flo_checkup_rate_mtps(&checkup), 76000, 82000);
    checkup.int8_ops_per_s /= 10; /* a small board */
    assert_string_equal(flo_checkup_cost(&checkup).bound_by, "arithmetic");
    checkup.threads = 2; /* half of what was measured */
    assert_in_range(flo_checkup_rate_mtps(&checkup), 7000, 7600);
}

static void a_small_model_is_not_slow_because_it_is_small(void **state)
{
    struct flo_checkup checkup = well();

    (void)state;
    checkup.memory_bytes_per_s = 8465268112;
    checkup.int8_ops_per_s = 59379755569;
    checkup.token_bytes = 1734464;
    checkup.token_us = 900; /* 1,111 tokens/s, a fifth of the bandwidth */
    assert_null(find(&checkup, "slow.speed"));
    checkup.token_us = 2500;
    assert_non_null(find(&checkup, "slow.speed"));
}

/* ---- lines ---- */

static void expect(const char *line, const char *wanted)
{
    char out[FLO_REDACT_BYTES_MAX + 1];

    flo_redact(line, strlen(line), out);
    assert_string_equal(out, wanted);
}

static void secrets_are_hidden(void **state)
{
    (void)state;
    expect("enrol flt1.aaaaaaaaaaaaaaaa.0123 failed", "enrol [hidden] failed");
    expect("Authorization: Bearer abc.def-1", "Authorization: [hidden] [hidden]");
    expect("bearer abc done", "bearer [hidden] done");
    expect("{\"token\":\"s3\",\"a\":1}", "{\"token\":\"[hidden]\",\"a\":1}");
    expect("password=hunter2 x", "password=[hidden] x");
    expect("https://u:pw@host/x", "https://[hidden]@host/x");
    expect("key -----BEGIN PRIVATE KEY-----", "key [hidden]");
    expect("got QWxhZGRpbjpvcGVuIHNlc2FtZTEy+/= here", "got [hidden]= here");
    expect("hex 00112233445566778899aabbccddeeff end", "hex [hidden] end");
    expect("prompt: tell me a story", "prompt: [hidden]");
    expect("hex 00112233445566778899AABBCCDDEEFF end", "hex [hidden] end");
    expect("token=", "token=");
}

static void names_stay(void **state)
{
    static const char *const lines[] = {
        "2026-11-20T07:00:00.123Z info  core order o-12 acts",
        "release sha256:00112233445566778899aabbccddeeff00112233445566778899"
        "aabbccddeeff staged",
        "blobs/sha256-00112233445566778899aabbccddeeff0011223344556677 is gone",
        "device 3b241101-e2bb-4255-8caf-4136c566a962, fleet demo",
        "/var/lib/Flotilla/Devices2/gateway/state.db is full",
        "tiny-v2.1.Q4_0.gguf: 30 tokens, token 5",
        "a-name-of-small-letters-and-signs-alone",
        "A_NAME_OF_LARGE_LETTERS_AND_SIGNS_ALONE_1",
        "Letters-And-Signs-Without-A-Number-In-Them",
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(lines); i++) {
        expect(lines[i], lines[i]);
    }
}

static void a_long_line_is_cut_between_characters(void **state)
{
    char line[3000];
    char out[FLO_REDACT_BYTES_MAX + 1];

    (void)state;
    line[0] = 'x';
    for (size_t i = 1; i + 1 < sizeof(line); i += 2) {
        memcpy(line + i, "\xc3\xa9", 2);
    }
    flo_redact(line, 2001, out);
    assert_true(strlen(out) <= FLO_REDACT_BYTES_MAX);
    assert_int_equal((uint8_t)out[strlen(out) - 1], 0xa9);
    flo_redact(line + 1, 2000, out);
    assert_int_equal((uint8_t)out[strlen(out) - 1], 0xa9);
    memset(line, 0xa9, sizeof(line)); /* no character begins there */
    flo_redact(line, 2001, out);
    assert_string_equal(out, "");
    memset(line, '.', sizeof(line));
    flo_redact(line, 2001, out);
    assert_int_equal(strlen(out), FLO_REDACT_BYTES_MAX);
}

static void a_line_in_json_takes_what_its_escapes_take(void **state)
{
    (void)state;
    assert_int_equal(flo_redact_json_bytes(""), 3);
    assert_int_equal(flo_redact_json_bytes("ab\"\\"), 3 + 2 + 2 * 2);
    assert_int_equal(flo_redact_json_bytes("\x01\x7f"), 3 + 2 * 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_that_is_well_has_no_findings),
        cmocka_unit_test(a_slow_device_says_both_speeds),
        cmocka_unit_test(each_cause_is_found_alone),
        cmocka_unit_test(everything_at_once_has_room),
        cmocka_unit_test(a_rate_does_not_overflow),
        cmocka_unit_test(a_token_is_bound_by_what_takes_longest),
        cmocka_unit_test(a_small_model_is_not_slow_because_it_is_small),
        cmocka_unit_test(secrets_are_hidden),
        cmocka_unit_test(names_stay),
        cmocka_unit_test(a_long_line_is_cut_between_characters),
        cmocka_unit_test(a_line_in_json_takes_what_its_escapes_take),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
