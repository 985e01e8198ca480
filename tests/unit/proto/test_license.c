/* Licences of models against lists of allowed ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/license.h"

static char refused[64];

static bool allows(const char *list, const char *license)
{
    refused[0] = '\0';
    return flo_license_is_allowed(list, license, refused, sizeof(refused));
}

static void a_list_allows_its_ids_in_any_letter_case(void **state)
{
    (void)state;
    assert_true(allows("apache-2.0,mit", "Apache-2.0"));
    assert_true(allows(" MIT , apache-2.0 ", "mit"));
    assert_false(allows("apache-2.0,mit", "llama3.2"));
    assert_string_equal(refused, "llama3.2");
    assert_false(allows("apache-2.0", "apache-2"));
    assert_false(allows("apache-2", "apache-2.0"));
    assert_false(allows("apache-2.0,mit", "apache-2.0,mit"));
}

static void an_unknown_licence_is_not_allowed(void **state)
{
    (void)state;
    assert_false(allows("mit", ""));
    assert_string_equal(refused, "");
    assert_false(allows("", "mit"));
    assert_false(allows("mit,,", ""));
}

static void one_alternative_is_enough_and_all_parts_are_needed(void **state)
{
    (void)state;
    assert_true(allows("mit", "gpl-3.0 OR mit"));
    assert_true(allows("mit", "GPL-3.0 or MIT"));
    assert_false(allows("mit", "gpl-3.0 AND mit"));
    assert_string_equal(refused, "gpl-3.0");
    assert_true(allows("mit,bsd", "gpl-3.0 OR mit AND bsd"));
    assert_false(allows("mit", "gpl-3.0 OR mit AND bsd"));
    assert_string_equal(refused, "gpl-3.0");
    assert_false(allows("mit", "mit AND "));
    assert_false(allows("mit", "(mit)"));
}

static void a_licence_file_names_its_id(void **state)
{
    char id[FLO_LICENSE_BYTES_MAX + 1];
    char text[200];
    (void)state;
    assert_true(
        flo_license_find("/* SPDX-License-Identifier: Apache-2.0 */\ntext", id, sizeof(id)));
    assert_string_equal(id, "Apache-2.0");
    assert_true(flo_license_find("a\nSPDX-License-Identifier:MIT OR X\r\n", id, sizeof(id)));
    assert_string_equal(id, "MIT OR X");
    assert_false(flo_license_find("Apache License", id, sizeof(id)));
    assert_false(flo_license_find("SPDX-License-Identifier:\nMIT", id, sizeof(id)));
    memset(text, 'x', sizeof(text));
    memcpy(text, "SPDX-License-Identifier:", 24);
    text[sizeof(text) - 1] = '\0';
    assert_false(flo_license_find(text, id, sizeof(id)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_allows_its_ids_in_any_letter_case),
        cmocka_unit_test(an_unknown_licence_is_not_allowed),
        cmocka_unit_test(one_alternative_is_enough_and_all_parts_are_needed),
        cmocka_unit_test(a_licence_file_names_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
