/* Tokens of a folder: pieces of each kind, special tokens, splits, steps,
 * cards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/card.h"
#include "engine/publish/import/pieces.h"
#include "engine/publish/import/reading.h"
#include "engine/publish/import/special.h"
#include "engine/publish/import/splits.h"
#include "engine/publish/import/steps.h"

/* A JSON text as a tree, whose text the test frees. */
struct parsed {
    char *text;
    struct flo_tree tree;
};

static struct parsed parsed(const char *json)
{
    struct parsed out = {0};
    size_t bytes = strlen(json);
    out.text = malloc(bytes + 1);
    assert_non_null(out.text);
    memcpy(out.text, json, bytes + 1);
    assert_int_equal(flo_folder_tree(out.text, bytes, 10000, &out.tree, NULL), 0);
    return out;
}

static void parsed_free(struct parsed *parsed)
{
    flo_tree_deinit(&parsed->tree);
    free(parsed->text);
}

static void expect_piece(const struct flo_import_pieces *pieces, uint32_t id, const char *text,
                         uint32_t type)
{
    assert_true(id < pieces->count);
    assert_int_equal(pieces->items[id].bytes, strlen(text));
    assert_memory_equal(pieces->items[id].text, text, strlen(text));
    assert_int_equal(pieces->items[id].type, type);
}

/* ---- pieces ---- */

static void added_tokens_are_control_tokens_by_mark_or_by_looks(void **state)
{
    (void)state;
    struct flo_import_pieces pieces = {0};
    struct parsed json = parsed("{\"model\":{\"vocab\":{\"a\":0}},\"added_tokens\":["
                                "{\"id\":1,\"content\":\"<s>\",\"special\":true},"
                                "{\"id\":2,\"content\":\"<|end|>\",\"special\":false},"
                                "{\"id\":3,\"content\":\"<think>\",\"special\":false}]}");
    assert_int_equal(flo_pieces_read_json(json.tree.nodes, 5, &pieces, NULL), 0);
    expect_piece(&pieces, 0, "a", FLO_PIECE_NORMAL);
    expect_piece(&pieces, 1, "<s>", FLO_PIECE_CONTROL);
    expect_piece(&pieces, 2, "<|end|>", FLO_PIECE_CONTROL);
    expect_piece(&pieces, 3, "<think>", FLO_PIECE_DEFINED);
    assert_null(pieces.items[4].text);
    flo_pieces_deinit(&pieces);
    parsed_free(&json);
}

static void unigram_pieces_keep_their_scores(void **state)
{
    (void)state;
    struct flo_import_pieces pieces = {0};
    struct parsed json = parsed("{\"model\":{\"vocab\":[[\"<s>\",0],[\"x\",-3.5]]}}");
    assert_int_equal(flo_pieces_read_json(json.tree.nodes, 2, &pieces, NULL), 0);
    expect_piece(&pieces, 1, "x", FLO_PIECE_NORMAL);
    assert_true(pieces.items[1].score == -3.5F);
    flo_pieces_deinit(&pieces);
    parsed_free(&json);
}

static void merges_become_scores_in_their_order(void **state)
{
    (void)state;
    struct flo_import_pieces pieces = {0};
    struct parsed json = parsed("{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"abb\":3},"
                                "\"merges\":[\"a b\",[\"ab\",\"b\"],\"x y\"]}}");
    const struct flo_tree_node *model = flo_tree_member(json.tree.nodes, "model");
    assert_int_equal(flo_pieces_read_json(json.tree.nodes, 4, &pieces, NULL), 0);
    flo_pieces_score_merges(flo_tree_member(model, "merges"), &pieces);
    assert_true(pieces.items[2].score == 0 && pieces.items[3].score == -1);
    assert_true(pieces.items[0].score == -1000);
    flo_pieces_deinit(&pieces);
    parsed_free(&json);
}

/* ---- SentencePiece ---- */

/* Two pieces, a trainer's type and a normaliser without a blank in front. */
static const uint8_t model[] = {
    0x0a, 11, 0x0a, 5, '<', 'u',  'n',  'k', '>',  0x18, 2, 0x18, 2, /* the last type counts */
    0x0a, 8,  0x0a, 1, 'a', 0x15, 0,    0,   0xc0, 0xbf,             /* score -1.5 */
    0x12, 2,  0x18, 2,                                               /* BPE */
    0x1a, 6,  0x12, 2, 'm', 'p',  0x18, 0,                           /* map, no blank */
};

static void a_sentencepiece_model_is_read_field_by_field(void **state)
{
    (void)state;
    struct flo_sentencepiece read = {0};
    assert_int_equal(flo_sentencepiece_read(model, sizeof(model), &read, NULL), 0);
    assert_int_equal(read.pieces.count, 2);
    expect_piece(&read.pieces, 0, "<unk>", FLO_PIECE_UNKNOWN);
    expect_piece(&read.pieces, 1, "a", FLO_PIECE_NORMAL);
    assert_true(read.pieces.items[1].score == -1.5F);
    assert_false(read.is_unigram);
    assert_false(read.adds_blank);
    assert_int_equal(read.map_bytes, 2);
    flo_pieces_deinit(&read.pieces);
}

static void a_cut_model_is_refused_at_every_byte(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof(model); cut++) {
        struct flo_sentencepiece read = {0};
        struct flo_err err = {0};
        int rv = flo_sentencepiece_read(model, cut, &read, &err);
        bool is_whole = cut == 13 || cut == 23 || cut == 27; /* ends of fields */
        assert_int_equal(rv == 0, is_whole);
        flo_pieces_deinit(&read.pieces);
    }
}

/* ---- special tokens ---- */

static bool flag_of(const struct flo_keys *keys, const char *key)
{
    const struct flo_gguf_edit *edit = flo_keys_find(keys, key);
    assert_non_null(edit);
    return edit->is_set;
}

static uint32_t number_of(const struct flo_keys *keys, const char *key)
{
    const struct flo_gguf_edit *edit = flo_keys_find(keys, key);
    return edit != NULL ? edit->u32 : UINT32_MAX;
}

#define BERT                                                                                       \
    "{\"added_tokens\":[{\"id\":0,\"content\":\"[CLS]\"},{\"id\":1,\"content\":\"[SEP]\"}],"       \
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},"      \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["                             \
    "{\"SpecialToken\":{\"id\":\"[CLS]\"}},{\"Sequence\":{\"id\":\"A\"}},"                         \
    "{\"SpecialToken\":{\"id\":\"[SEP]\"}}],\"pair\":["                                            \
    "{\"SpecialToken\":{\"id\":\"[CLS]\"}},{\"Sequence\":{\"id\":\"A\"}},"                         \
    "{\"SpecialToken\":{\"id\":\"[SEP]\"}},{\"Sequence\":{\"id\":\"B\"}},"                         \
    "{\"SpecialToken\":{\"id\":\"[SEP]\"}}]}}"

static void an_encoders_first_and_last_tokens_are_added(void **state)
{
    (void)state;
    struct flo_keys keys = {0};
    struct flo_config config = {0};
    struct parsed tokenizer = parsed(BERT);
    struct parsed settings =
        parsed("{\"cls_token\":\"[CLS]\",\"sep_token\":{\"content\":\"[SEP]\"}}");
    char text[] = "{\"pad_token_id\":9,\"mask_token_id\":3}";
    assert_int_equal(flo_config_read(text, strlen(text), &config, NULL), 0);
    flo_special_set(&keys, tokenizer.tree.nodes, settings.tree.nodes, &config, 8);
    assert_int_equal(number_of(&keys, "tokenizer.ggml.bos_token_id"), 0);
    assert_int_equal(number_of(&keys, "tokenizer.ggml.eos_token_id"), 1);
    assert_int_equal(number_of(&keys, "tokenizer.ggml.seperator_token_id"), 1);
    assert_int_equal(number_of(&keys, "tokenizer.ggml.mask_token_id"), 3);
    assert_int_equal(number_of(&keys, "tokenizer.ggml.padding_token_id"), UINT32_MAX);
    assert_true(flag_of(&keys, "tokenizer.ggml.add_bos_token"));
    assert_true(flag_of(&keys, "tokenizer.ggml.add_eos_token"));
    assert_false(flag_of(&keys, "tokenizer.ggml.add_sep_token"));
    assert_true(flag_of(&keys, "tokenizer.ggml.normalizer.lowercase"));
    flo_config_deinit(&config);
    parsed_free(&tokenizer);
    parsed_free(&settings);
    flo_keys_deinit(&keys);
}

/* ---- splits ---- */

static void expect_split(const char *arch, const char *json, const char *name)
{
    struct flo_keys keys = {0};
    struct parsed tokenizer = parsed(json);
    flo_splits_set(&keys, arch, tokenizer.tree.nodes, false);
    assert_string_equal(flo_keys_find(&keys, "tokenizer.ggml.pre")->text, name);
    parsed_free(&tokenizer);
    flo_keys_deinit(&keys);
}

#define LLAMA3                                                                                     \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}|"          \
    " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPLIT(more)                                                                                \
    "{\"model\":{\"ignore_merges\":" more "},\"pre_tokenizer\":{\"type\":\"Sequence\","            \
    "\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":"                \
    "{\"Regex\":\"" LLAMA3 "\"}}]}}"

static void a_split_has_the_name_of_its_expression_or_family(void **state)
{
    (void)state;
    expect_split("llama", SPLIT("true"), "llama-bpe");
    expect_split("granite", SPLIT("false"), "dbrx");
    expect_split("lfm2", SPLIT("false"), "lfm2");
    expect_split("llama", "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}", "gpt-2");
    expect_split("llama", "{\"pre_tokenizer\":{\"type\":\"Whitespace\"}}", "default");
}

/* ---- steps ---- */

/* Returns the steps of a tokenizer as text, "name(text,text) …"; "" if the kind
 * does them without keys. */
static void write_steps(const struct flo_keys *keys, char *out, size_t room)
{
    const struct flo_gguf_edit *edit = flo_keys_find(keys, "flotilla.tokenizer.steps");
    const uint8_t *at = edit != NULL ? edit->items : NULL;
    size_t bytes = 0;
    out[0] = '\0';
    for (uint64_t i = 0; edit != NULL && i < edit->item_count; i++) {
        struct flo_gguf_text text = flo_gguf_next_string(&at);
        const char *before = i % 3 == 2 ? "," : i % 3 == 1 ? "(" : i > 0 ? " " : "";
        bytes += (size_t)snprintf(out + bytes, room - bytes, "%s%.*s%s", before, (int)text.bytes,
                                  text.data, i % 3 == 2 ? ")" : "");
        assert_true(bytes < room);
    }
}

/* Reads a tokenizer of this kind.  Returns what refused it, or its steps. */
static void read_steps(const char *json, const char *kind, char *out, size_t room)
{
    struct flo_import_steps steps = {0};
    struct flo_folder_reading reading = {.arch = "llama"};
    struct flo_keys keys = {0};
    struct flo_err err = {0};
    struct parsed tokenizer = parsed(json);
    const struct flo_tree_node *root = tokenizer.tree.nodes;
    bool is_own;
    int rv = flo_reading_file(&reading, "tokenizer.json", "tokenizer.json", root, &err);
    rv = rv == 0 ? flo_steps_read(root, &steps, &err) : rv;
    rv = rv == 0 ? flo_steps_set(&keys, root, &steps, kind, &is_own, &err) : rv;
    rv = rv == 0 ? flo_decoder_check(root, kind, &err) : rv;
    write_steps(&keys, out, room);
    if (rv < 0) {
        snprintf(out, room, "refused: %s", err.what);
    }
    flo_import_steps_deinit(&steps);
    flo_reading_deinit(&reading);
    parsed_free(&tokenizer);
    flo_keys_deinit(&keys);
}

#define BYTES(prefix) "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"use_regex\":false}"
#define PRE(parts) "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}}"
#define NORMALIZER(part) "{\"normalizer\":" part ",\"pre_tokenizer\":" BYTES("false") "}"
#define ADDED_TOKEN(more)                                                                          \
    "{\"added_tokens\":[{\"id\":0,\"content\":\"ab\"" more "}],\"pre_tokenizer\":"                 \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}}"
#define MARK "\xe2\x96\x81"

static void steps_of_a_tokenizer_are_written_or_refused_by_name(void **state)
{
    static const struct {
        const char *kind, *json, *wanted;
    } cases[] = {
        /* what a kind does anyway */
        {"gpt2", PRE("{\"type\":\"Digits\"}," BYTES("false")), ""},
        {"bert",
         "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false},"
         "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}}",
         ""},
        {"llama",
         "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
         "\"prepend\":\"" MARK "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
         "\"content\":\"" MARK "\"}]}}",
         ""},
        /* what it does not */
        {"gpt2", PRE("{\"type\":\"Digits\"}," BYTES("true")),
         "added(,) split(\\p{N}+,isolated) prefix( ,always) bytes(,)"},
        {"gpt2", NORMALIZER("{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}"),
         "strip(,left) added(,) bytes(,)"},
        {"gpt2",
         PRE("{\"type\":\"Split\",\"pattern\":{\"String\":\"-\"},\"behavior\":\"Removed\","
             "\"invert\":true}," BYTES("false")),
         "added(,) split-text(-,not removed) bytes(,)"},
        {"llama",
         "{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\","
         "\"prepend_scheme\":\"first\",\"split\":false}}",
         "added(,) replace-text( ," MARK ") prefix(" MARK ",first)"},
        {"bert",
         "{\"normalizer\":{\"type\":\"BertNormalizer\",\"handle_chinese_chars\":false,"
         "\"strip_accents\":false},\"pre_tokenizer\":{\"type\":\"WhitespaceSplit\"}}",
         "clean(,) lower(,) added(,) split(\\s,removed)"},
        {"gpt2", ADDED_TOKEN(",\"lstrip\":true"), "added(,) split("},
        {"gpt2",
         NORMALIZER("{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Nmt\"},"
                    "{\"type\":\"NFKC\"}]}"),
         "nmt(,) nfkc(,) added(,)"},
        /* what is not built, or contradicts itself */
        {"gpt2", NORMALIZER("{\"type\":\"NFKQ\"}"), "refused: tokenizer.json: \"normalizer/NFKQ\""},
        {"gpt2", NORMALIZER("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}"),
         "refused: tokenizer.json: normalizer/Precompiled"},
        {"gpt2", NORMALIZER("{\"type\":\"Strip\",\"strip_left\":1}"),
         "refused: tokenizer.json: \"normalizer/Strip.strip_left\""},
        {"gpt2", PRE("{\"type\":\"Digits\",\"base\":8}"),
         "refused: tokenizer.json: \"pre_tokenizer/Digits.base\""},
        {"gpt2", PRE("{}"), "refused: tokenizer.json: \"pre_tokenizer/Sequence.pretokenizers.*\""},
        {"gpt2", PRE("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?<=a)b\"}}"),
         "refused: tokenizer.json: pre_tokenizer/Split.pattern"},
        {"llama",
         PRE("{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false,"
             "\"prepend_scheme\":\"first\"}"),
         "refused: tokenizer.json: pre_tokenizer/Metaspace"},
        {"gpt2", ADDED_TOKEN(",\"priority\":5"), "refused: tokenizer.json: added_tokens has \"pri"},
        {"gpt2", "{\"added_tokens\":[{\"id\":1,\"content\":\"a\"}]}",
         "refused: tokenizer.json: added_tokens has \"a\" as 1, and its library numbers it 0"},
        {"gpt2", "{\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\"}}",
         "refused: tokenizer.json: decoder/WordPiece"},
        {"gpt2", "{\"decoder\":{\"type\":\"CTC\"}}", "refused: tokenizer.json: \"decoder/CTC\""},
        {"gpt2", "{\"model\":{\"type\":\"BPE\",\"dropout\":0.5}}",
         "refused: tokenizer.json: \"model/BPE.dropout\""},
        {"gpt2", "{\"postscript\":{}}", "refused: tokenizer.json: \"postscript\""},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(cases); i++) {
        char got[1024];
        size_t bytes = strlen(cases[i].wanted);
        read_steps(cases[i].json, cases[i].kind, got, sizeof(got));
        if (strncmp(got, cases[i].wanted, bytes) != 0 || (bytes == 0 && got[0] != '\0')) {
            fail_msg("%s gives %s, not %s", cases[i].json, got, cases[i].wanted);
        }
    }
}

static void tokens_that_overlap_are_read_from_left_to_right(void **state)
{
    static const char *const second[] = {"ab", "world", "lo wo"};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(second); i++) {
        char json[512], got[1024];
        snprintf(json, sizeof(json),
                 "{\"added_tokens\":[{\"id\":0,\"content\":\"lo wo\",\"normalized\":false},"
                 "{\"id\":1,\"content\":\"%s\",\"normalized\":false}],\"pre_tokenizer\":"
                 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}}",
                 second[i]);
        read_steps(json, "gpt2", got, sizeof(got));
        assert_int_equal(got[0] != '\0', i == 1);
    }
}

/* ---- cards ---- */

static void a_card_without_a_head_says_nothing(void **state)
{
    (void)state;
    struct flo_keys keys = {0};
    flo_card_read(&keys, "# Model\nlicense: mit\n");
    flo_card_read(&keys, "---\nlicense: {mit}\nbase_model: one\n---\nlicense: mit\n");
    assert_int_equal(keys.count, 0);
    flo_card_read(&keys, "---\nlicense: \"mit\"\nlicense_name: x y\nbase_model: a/b\n");
    assert_string_equal(flo_keys_find(&keys, "general.license")->text, "mit");
    assert_string_equal(flo_keys_find(&keys, "general.license.name")->text, "x y");
    assert_string_equal(flo_keys_find(&keys, "general.base_model.0.organization")->text, "a");
    flo_keys_deinit(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(added_tokens_are_control_tokens_by_mark_or_by_looks),
        cmocka_unit_test(unigram_pieces_keep_their_scores),
        cmocka_unit_test(merges_become_scores_in_their_order),
        cmocka_unit_test(a_sentencepiece_model_is_read_field_by_field),
        cmocka_unit_test(a_cut_model_is_refused_at_every_byte),
        cmocka_unit_test(an_encoders_first_and_last_tokens_are_added),
        cmocka_unit_test(a_split_has_the_name_of_its_expression_or_family),
        cmocka_unit_test(steps_of_a_tokenizer_are_written_or_refused_by_name),
        cmocka_unit_test(tokens_that_overlap_are_read_from_left_to_right),
        cmocka_unit_test(a_card_without_a_head_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
