/* Specification of a build: what is read, and how each wrong field is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <flotilla/errors/cfg.h>

#include "server-stub/cli/builds/spec.h"

#define HEAD "release: helpdesk@2.4.0\nfrom: model\n"

static const char whole[] = HEAD "label: second shift\n"
                                 "license: apache-2.0\n"
                                 "allow_licences: [apache-2.0, mit]\n"
                                 "calibrate: use.txt\n"
                                 "variants:\n"
                                 "  - {type: q8_0, needs: {memory: 500000000, arch: aarch64}}\n"
                                 "  - name: small\n"
                                 "    fit: 1.2GiB\n"
                                 "    gates: {kl_max: 0.5, bytes_max: 110MB}\n"
                                 "  - {loss: 1.5%}\n"
                                 "evaluate:\n"
                                 "  suite: /data/suite.jsonl\n"
                                 "  tokens: 64\n"
                                 "  gates: {answers_right_min: 90%, kl_max: 0.02}\n"
                                 "golden: {prompts: prompts.txt, kept_min: 12}\n"
                                 "assets: {manual.txt: docs/manual.txt}\n"
                                 "serve: {context: 2048, system: '@system.txt'}\n"
                                 "delta_from: none\n"
                                 "sign_with: keys/publisher.key\n"
                                 "publish: true\n"
                                 "rollout: {group: lyon, soak: 30m}\n";

static struct flo_build_spec *read_spec(const char *text)
{
    struct flo_build_spec *spec = NULL;
    struct flo_err err = {0};

    if (flo_build_spec_read(text, strlen(text), "b.yaml", "/work", &spec, &err) < 0) {
        fail_msg("%s", err.what);
    }
    return spec;
}

static void the_whole_file_is_read(void **state)
{
    (void)state;
    struct flo_build_spec *spec = read_spec(whole);

    assert_string_equal(spec->release, "helpdesk@2.4.0");
    assert_string_equal(spec->from, "/work/./model");
    assert_string_equal(spec->allowed, "apache-2.0,mit");
    assert_string_equal(spec->calibrate, "/work/./use.txt");
    assert_int_equal(spec->variant_count, 3);
    assert_string_equal(spec->variants[0].name, "q8_0");
    assert_string_equal(spec->variants[0].needs.names[0], "memory");
    assert_string_equal(spec->variants[0].needs.values[0], "500000000");
    assert_string_equal(spec->variants[1].name, "small");
    assert_string_equal(spec->variants[1].fit, "1.2GiB");
    assert_string_equal(spec->variants[2].name, "loss");
    assert_string_equal(spec->variants[2].loss, "1.5%");
    assert_string_equal(spec->evaluate.suite, "/data/suite.jsonl");
    assert_int_equal(spec->evaluate.tokens, 64);
    assert_int_equal(spec->golden.kept_min, 12);
    assert_string_equal(spec->assets.values[0], "/work/./docs/manual.txt");
    assert_string_equal(spec->serve.values[0], "2048");
    assert_string_equal(spec->serve.values[1], "@/work/./system.txt");
    assert_string_equal(spec->sign_with, "/work/./keys/publisher.key");
    assert_true(spec->publish);
    assert_string_equal(json_string_value(json_object_get(spec->rollout, "release")),
                        "helpdesk@2.4.0");
    flo_build_spec_free(spec);
}

static void two_fields_are_enough(void **state)
{
    (void)state;
    struct flo_build_spec *spec = read_spec(HEAD);

    assert_int_equal(spec->variant_count, 1);
    assert_string_equal(spec->variants[0].name, "original");
    assert_null(spec->evaluate.suite);
    assert_int_equal(spec->golden.kept_min, FLO_BUILD_KEPT_MIN);
    assert_null(spec->sign_with);
    assert_false(spec->publish);
    flo_build_spec_free(spec);
}

/* A recipe names a folder by "../": files behind the last one are opened beneath. */
static void a_relative_path_stays_in_the_folder_that_it_names(void **state)
{
    static const char *const paths[][2] = {
        {"a/b.gguf", "/work/./a/b.gguf"},
        {"../b.gguf", "/work/.././b.gguf"},
        {"../../c/b.gguf", "/work/../.././c/b.gguf"},
        {"a/../../b.gguf", "/work/a/../.././b.gguf"},
        {"/c/b.gguf", "/c/b.gguf"},
    };
    char text[200];

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        snprintf(text, sizeof(text), "release: a@1\nfrom: %s\n", paths[i][0]);
        struct flo_build_spec *spec = read_spec(text);
        assert_string_equal(spec->from, paths[i][1]);
        flo_build_spec_free(spec);
    }
}

static void a_variants_gate_replaces_that_of_all(void **state)
{
    (void)state;
    struct flo_build_spec *spec = read_spec(whole);
    const struct flo_build_limits *all = &spec->variants[0].gates;
    const struct flo_build_limits *own = &spec->variants[1].gates;

    assert_true(all->has[FLO_BUILD_KL] && all->values[FLO_BUILD_KL] == 0.02);
    assert_false(all->has[FLO_BUILD_BYTES]);
    assert_true(own->has[FLO_BUILD_KL] && own->values[FLO_BUILD_KL] == 0.5);
    assert_true(own->has[FLO_BUILD_BYTES] && own->values[FLO_BUILD_BYTES] == 110e6);
    assert_true(own->has[FLO_BUILD_ANSWERS] && own->values[FLO_BUILD_ANSWERS] == 90);
    flo_build_spec_free(spec);
}

static void each_wrong_field_is_named_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *says;
    } cases[] = {
        {"", FLO_E_CFG_TYPE, "b.yaml:1: it has no fields"},
        {"[]\n", FLO_E_CFG_TYPE, "b.yaml:1: it has no fields"},
        {"release: [\n", FLO_E_CFG_PARSE, "b.yaml"},
        {"from: m\n", FLO_E_CFG_KEY, "`release`: it is missing"},
        {"release: a@1\n", FLO_E_CFG_KEY, "`from`: it is missing"},
        {"release: a\nfrom: m\n", FLO_E_CFG_RANGE, "b.yaml:1: `release`: a is no release"},
        {"release: a@1\nfrom: 7\n", FLO_E_CFG_TYPE, "b.yaml:2: `from`: it is not a path"},
        {"release: a@1\nfrom: ''\n", FLO_E_CFG_RANGE, "`from`: 0 bytes are not within 1 to 1024"},
        {HEAD "variantes: []\n", FLO_E_CFG_KEY, "b.yaml:3: `variantes`: no such field"},
        {HEAD "label: {}\n", FLO_E_CFG_TYPE, "b.yaml:3: `label`: it is not a text"},
        {HEAD "license: 1\n", FLO_E_CFG_TYPE, "`license`: it is not a text"},
        {HEAD "allow_licences: mit\n", FLO_E_CFG_TYPE, "`allow_licences`: it is not a list"},
        {HEAD "allow_licences: []\n", FLO_E_CFG_RANGE, "0 texts are not within 1 to 32"},
        {HEAD "allow_licences: ['a,b']\n", FLO_E_CFG_TYPE, "texts without commas"},
        {HEAD "calibrate: true\n", FLO_E_CFG_TYPE, "`calibrate`: it is not a path"},
        {HEAD "variants: {}\n", FLO_E_CFG_TYPE, "`variants`: it is not a list"},
        {HEAD "variants: []\n", FLO_E_CFG_RANGE, "0 elements are not within 1 to 7"},
        {HEAD "variants: [3]\n", FLO_E_CFG_TYPE, "`variants[0]`: it is not an object"},
        {HEAD "variants:\n  - {}\n  - {typus: q8_0}\n", FLO_E_CFG_KEY,
         "b.yaml:5: `variants[1].typus`: no such field"},
        {HEAD "variants: [{name: a b}]\n", FLO_E_CFG_RANGE, "`variants[0].name`: a b is no name"},
        {HEAD "variants: [{fit: much}]\n", FLO_E_CFG_TYPE,
         "`variants[0].fit`: it is not a size such as 90MB"},
        {HEAD "variants: [{fit: 0}]\n", FLO_E_CFG_RANGE, "`variants[0].fit`: 0 is not within 1"},
        {HEAD "variants: [{fit: 1e400}]\n", FLO_E_CFG_PARSE, "the number is too large"},
        {HEAD "variants: [{loss: 1}]\n", FLO_E_CFG_TYPE, "it is not a share such as 90%"},
        {HEAD "variants: [{loss: 101%}]\n", FLO_E_CFG_RANGE, "101 is not within 0 to 100"},
        {HEAD "variants: [{loss: nan%}]\n", FLO_E_CFG_TYPE, "`variants[0].loss`"},
        {HEAD "variants: [{type: q8_0, fit: 1MB}]\n", FLO_E_CFG_RANGE,
         "`variants[0]`: `type`, `fit` and `loss` exclude each other"},
        {HEAD "variants: [{type: q8_0}, {type: q8_0}]\n", FLO_E_CFG_RANGE,
         "`variants[1]`: variants[0] has the name q8_0, too"},
        {HEAD "variants: [{needs: 3}]\n", FLO_E_CFG_TYPE, "`variants[0].needs`: it is not an"},
        {HEAD "variants: [{needs: {memory: 1.5}}]\n", FLO_E_CFG_TYPE,
         "`variants[0].needs.memory`: it is not a text"},
        {HEAD "variants: [{needs: {'a=b': 1}}]\n", FLO_E_CFG_RANGE, "no name of a file or flag"},
        {HEAD "variants: [{gates: {kl_max: 1}}]\n", FLO_E_CFG_RANGE,
         "gate `kl_max` needs `evaluate`"},
        {HEAD "evaluate: {}\n", FLO_E_CFG_KEY, "`evaluate.suite`: it is missing"},
        {HEAD "evaluate: {suite: s, tokens: 0}\n", FLO_E_CFG_RANGE,
         "`evaluate.tokens`: 0 is not within 1 to 4096"},
        {HEAD "evaluate: {suite: s, gates: 1}\n", FLO_E_CFG_TYPE, "`evaluate.gates`"},
        {HEAD "evaluate:\n  suite: s\n  gates:\n    kl_mix: 1\n", FLO_E_CFG_KEY,
         "b.yaml:6: `evaluate.gates.kl_mix`: no such field"},
        {HEAD "evaluate: {suite: s, gates: {kl_max: -1}}\n", FLO_E_CFG_RANGE,
         "`evaluate.gates.kl_max`: -1 is not within 0 to 100"},
        {HEAD "evaluate: {suite: s, gates: {answers_right_min: 14}}\n", FLO_E_CFG_TYPE,
         "`evaluate.gates.answers_right_min`: it is not a share"},
        {HEAD "evaluate: {suite: s, gates: {bytes_max: [1]}}\n", FLO_E_CFG_TYPE,
         "`evaluate.gates.bytes_max`: it is not a size"},
        {HEAD "evaluate: {suite: s, gates: {tokens_per_s_min: fast}}\n", FLO_E_CFG_TYPE,
         "`evaluate.gates.tokens_per_s_min`: it is not a number"},
        {HEAD "golden: {kept_min: 0}\n", FLO_E_CFG_RANGE, "`golden.kept_min`: 0 is not within 1"},
        {HEAD "golden: {kept_min: 8.5}\n", FLO_E_CFG_TYPE, "it is not a whole number"},
        {HEAD "golden: {file: a, prompts: b}\n", FLO_E_CFG_RANGE,
         "`golden.prompts`: `file` and `prompts` exclude each other"},
        {HEAD "assets: {a: 1}\n", FLO_E_CFG_TYPE, "`assets.a`: it is not a path"},
        {HEAD "assets: {}\n", FLO_E_CFG_RANGE, "0 names are not within 1 to 16"},
        {HEAD "serve: []\n", FLO_E_CFG_TYPE, "`serve`: it is not an object"},
        {HEAD "delta_from: 3\n", FLO_E_CFG_TYPE, "`delta_from`: it is not a text"},
        {HEAD "sign_with: 3\n", FLO_E_CFG_TYPE, "`sign_with`: it is not a path"},
        {HEAD "publish: 1\n", FLO_E_CFG_TYPE, "`publish`: it is not true or false"},
        {HEAD "publish: true\n", FLO_E_CFG_RANGE, "`publish`: it needs `sign_with`"},
        {HEAD "rollout: {}\n", FLO_E_CFG_RANGE, "`rollout`: it needs `sign_with`"},
        {HEAD "sign_with: k\nrollout: 5\n", FLO_E_CFG_TYPE, "`rollout`: it is not an object"},
        {HEAD "sign_with: k\nrollout: {release: b@1}\n", FLO_E_CFG_KEY, "`rollout.release`"},
        {HEAD "sign_with: k\nrollout:\n  group: g\n  soak: long\n", FLO_E_CFG_RANGE,
         "b.yaml:6: rollout.soak"},
        {HEAD "sign_with: k\nrollout: {pace: 3}\n", FLO_E_CFG_RANGE, "rollout."},
    };

    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        struct flo_build_spec *spec = NULL;
        struct flo_err err = {0};
        int rv = flo_build_spec_read(cases[i].text, strlen(cases[i].text), "b.yaml", "/work", &spec,
                                     &err);
        if (rv != cases[i].code || strstr(err.what, cases[i].says) == NULL || spec != NULL) {
            fail_msg("%s\ngives %d: %s", cases[i].text, rv, err.what);
        }
    }
}

static void a_near_name_is_offered(void **state)
{
    (void)state;
    struct flo_build_spec *spec = NULL;
    struct flo_err err = {0};
    static const char text[] = HEAD "variantes: []\n";

    assert_int_equal(flo_build_spec_read(text, strlen(text), "b", "", &spec, &err), FLO_E_CFG_KEY);
    assert_string_equal(err.fix, "did you mean `variants`?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_file_is_read),
        cmocka_unit_test(two_fields_are_enough),
        cmocka_unit_test(a_relative_path_stays_in_the_folder_that_it_names),
        cmocka_unit_test(a_variants_gate_replaces_that_of_all),
        cmocka_unit_test(each_wrong_field_is_named_with_its_line),
        cmocka_unit_test(a_near_name_is_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
