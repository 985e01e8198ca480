/* The relay's command line: which addresses and files go together, and the URL
 * to which a request is sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/relay/relay.h"

static struct relay_settings to(const char *url)
{
    return (struct relay_settings){.listen = "unix:/run/x", .to = url};
}

static int check(struct relay_settings settings)
{
    struct flo_err err = {0};

    return relay_check(&settings, &err);
}

static void the_base_replaces_the_first_part_of_the_path(void **state)
{
    static const char *const rows[][3] = {
        {"https://h", "/v1/embeddings", "https://h/v1/embeddings"},
        {"https://h:1", "/v1/completions", "https://h:1/v1/completions"},
        {"https://h/", "/v1/completions", "https://h/completions"},
        {"https://h/v1", "/v1/chat/completions", "https://h/v1/chat/completions"},
        {"https://h/v1/", "/v1/chat/completions", "https://h/v1/chat/completions"},
        {"https://[::1]:2/a/b.c", "/v1/audio/transcriptions",
         "https://[::1]:2/a/b.c/audio/transcriptions"},
    };
    char url[RELAY_URL_BYTES_MAX];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        relay_url(rows[i][0], rows[i][1], url);
        assert_string_equal(url, rows[i][2]);
        assert_int_equal(check(to(rows[i][0])), 0);
    }
}

static void an_address_is_a_host_and_a_plain_path(void **state)
{
    static const char *const bad[] = {
        "",
        "h",
        "ftp://h",
        "http://h/v1", /* without TLS to another machine */
        "https://user:key@h",
        "https://h:0",
        "https://h/a?b",
        "https://h/a#b",
        "https://h/a b",
        "https://h/a%2e",
        "https://h//a",
        "https://h/a/../b",
        "https://h/.a",
        "https://h/a\r\nX: y",
    };
    char large[700] = "https://h/";

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        assert_int_equal(check(to(bad[i])), FLO_E_CFG_RANGE);
    }
    memset(large + 10, 'a', sizeof(large) - 11);
    assert_int_equal(check(to(large)), FLO_E_CFG_RANGE);
    large[512] = '\0';
    assert_int_equal(check(to(large)), 0);
    assert_int_equal(check(to("http://127.0.0.1:8080/v1")), 0);
}

static void a_device_is_met_with_certificates_alone(void **state)
{
    struct relay_settings settings = to("https://h");

    (void)state;
    settings.is_device = true;
    assert_int_equal(check(settings), FLO_E_USAGE);
    settings.ca_file = "ca";
    assert_int_equal(check(settings), FLO_E_USAGE);
    settings.cert_file = "cert";
    assert_int_equal(check(settings), FLO_E_USAGE);
    settings.cert_key_file = "key";
    assert_int_equal(check(settings), 0);
    settings.to = "http://127.0.0.1:1"; /* no certificate is shown without TLS */
    assert_int_equal(check(settings), FLO_E_USAGE);
    settings.ca_file = NULL;
    settings.is_device = false;
    assert_int_equal(check(settings), FLO_E_USAGE);
    settings.to = "https://h";
    settings.cert_file = NULL;
    assert_int_equal(check(settings), FLO_E_USAGE);
}

static void the_proxy_comes_by_a_unix_socket(void **state)
{
    static const char *const bad[] = {"127.0.0.1:80", "unix:", "unix:relative", "/run/x", "fd:3"};
    struct relay_settings settings = to("https://h");
    char large[200] = "unix:/";

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(bad); i++) {
        settings.listen = bad[i];
        assert_int_equal(check(settings), FLO_E_USAGE);
    }
    memset(large + 6, 'a', 106);
    settings.listen = large;
    assert_int_equal(check(settings), 0);
    large[112] = 'a';
    assert_int_equal(check(settings), FLO_E_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_base_replaces_the_first_part_of_the_path),
        cmocka_unit_test(an_address_is_a_host_and_a_plain_path),
        cmocka_unit_test(a_device_is_met_with_certificates_alone),
        cmocka_unit_test(the_proxy_comes_by_a_unix_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
