/* Forms with speech: their parts, their fields, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#include "agent/serve/openai/multipart.h"
#include "agent/serve/openai/openai.h"
#include "base/wav.h"

#define TYPE "multipart/form-data; boundary=b1"
#define HEAD(name) "--b1\r\nContent-Disposition: form-data; name=\"" name "\"\r\n"
#define FIELD(name, value) HEAD(name) "\r\n" value "\r\n"
#define END "--b1--\r\n"

/* Four samples of silence. */
static const char wav[] = "RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0"
                          "\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0"
                          "data\x08\0\0\0\0\0\0\0\0\0\0\0";
#define WAV_BYTES (sizeof(wav) - 1)

static struct serve_params params;
static struct flo_err err;

/* `before`, the file, `after`. */
static int read_form(const char *before, const void *file, size_t file_bytes, const char *after)
{
    static const char head[] = HEAD("file") "Content-Type: audio/wav\r\n\r\n";
    struct flo_buf body = {0};

    flo_buf_text(&body, before);
    if (file != NULL) {
        flo_buf_add(&body, head, sizeof(head) - 1);
        flo_buf_add(&body, file, file_bytes);
        flo_buf_text(&body, "\r\n");
    }
    flo_buf_text(&body, after);
    memset(&err, 0, sizeof(err));
    int rv = flo_params_read_audio(TYPE, body.data, body.bytes, &params, &err);
    flo_buf_deinit(&body);
    return rv;
}

static void a_form_becomes_a_message_with_its_file(void **state)
{
    const struct flo_wire_generate *out = &params.message.generate;

    (void)state;
    assert_int_equal(read_form(FIELD("model", "ear") FIELD("language", "de"), wav, WAV_BYTES,
                               FIELD("temperature", "0.5") FIELD("prompt", "Namen: Ott")
                                   FIELD("response_format", "text") FIELD("x", "y") END),
                     0);
    assert_string_equal(params.model, "ear");
    assert_true(params.is_plain);
    assert_int_equal(out->audio.bytes, WAV_BYTES);
    assert_memory_equal(out->audio.data, wav, WAV_BYTES);
    assert_int_equal(out->language.bytes, 2);
    assert_memory_equal(out->prompt.data, "Namen: Ott", 10);
    assert_true(out->temperature == 0.5);
    flo_params_deinit(&params);
}

static void a_boundary_in_the_file_is_no_boundary(void **state)
{
    /* Only CR LF and two dashes before it make it one. */
    char file[WAV_BYTES + 8];

    (void)state;
    memcpy(file, wav, WAV_BYTES);
    memcpy(file + WAV_BYTES, "--b1\r\nab", 8);
    assert_int_equal(read_form("preamble\r\n", file, sizeof(file), END), 0);
    assert_int_equal(params.message.generate.audio.bytes, sizeof(file));
    flo_params_deinit(&params);
}

static void fields_that_cannot_be_are_named(void **state)
{
    static const struct {
        const char *after, *param;
    } rows[] = {
        {FIELD("temperature", "3") END, "temperature"},
        {FIELD("temperature", "warm") END, "temperature"},
        {FIELD("temperature", "") END, "temperature"},
        {FIELD("response_format", "srt") END, "response_format"},
        {FIELD("stream", "true") END, "stream"},
        {FIELD("language", "the language of all") END, "language"},
        {FIELD("prompt", "\xff") END, "prompt"},
        {FIELD("file", "RIFF") END, "file"},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        assert_int_equal(read_form("", wav, WAV_BYTES, rows[i].after), FLO_E_INFER_PARAM);
        assert_string_equal(params.param, rows[i].param);
    }
    assert_int_equal(read_form(FIELD("model", "ear"), NULL, 0, END), FLO_E_INFER_PARAM);
    assert_string_equal(params.param, "file");
}

static void a_file_that_fits_no_frame_is_too_large(void **state)
{
    char *file = calloc(1, FLO_WIRE_AUDIO_BYTES_MAX + 1);

    (void)state;
    memcpy(file, wav, WAV_BYTES);
    assert_int_equal(read_form("", file, FLO_WIRE_AUDIO_BYTES_MAX, END), 0);
    flo_params_deinit(&params);
    assert_int_equal(read_form("", file, FLO_WIRE_AUDIO_BYTES_MAX + 1, END), FLO_E_REST_TOO_LARGE);
    assert_string_equal(params.param, "file");
    free(file);
}

static void a_broken_form_is_refused(void **state)
{
    static const struct {
        const char *type, *body;
    } rows[] = {
        {NULL, FIELD("a", "b") END},
        {"application/json", "{}"},
        {"multipart/form-data", FIELD("a", "b") END},
        {"multipart/form-data; boundary=", FIELD("a", "b") END},
        {TYPE, ""},
        {TYPE, "--b2\r\n"},
        {TYPE, "--b1 \r\n"},
        {TYPE, "--b1\r\n"},
        {TYPE, HEAD("a") "no end"},
        {TYPE, HEAD("a") "\r\nno end"},
        {TYPE, "--b1\r\nX: y\r\n\r\nv\r\n" END},
    };

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        memset(&err, 0, sizeof(err));
        assert_int_equal(
            flo_params_read_audio(rows[i].type, rows[i].body, strlen(rows[i].body), &params, &err),
            FLO_E_REST_SCHEMA);
        assert_true(err.what[0] != '\0');
    }
}

static void a_quoted_boundary_of_other_letters_is_taken(void **state)
{
    static const char body[] = "--a b:c\r\nCONTENT-DISPOSITION: form-data; "
                               "filename=\"n\"; NAME=file\r\n\r\n\r\n--a b:c--";
    struct flo_multipart form;
    struct flo_multipart_part part;

    (void)state;
    assert_int_equal(flo_multipart_open(&form, "Multipart/Form-Data; x=1; boundary=\"a b:c\"", body,
                                        sizeof(body) - 1, &err),
                     0);
    assert_int_equal(flo_multipart_next(&form, &part, &err), 1);
    assert_string_equal(part.name, "file");
    assert_int_equal(part.bytes, 0);
    assert_int_equal(flo_multipart_next(&form, &part, &err), 0);
}

static void a_wav_file_has_a_format_and_samples(void **state)
{
    char file[WAV_BYTES];

    (void)state;
    assert_true(flo_wav_is(wav, WAV_BYTES));
    for (size_t n = 0; n < WAV_BYTES - 7; n++) {
        assert_false(flo_wav_is(wav, n));
    }
    memcpy(file, wav, WAV_BYTES);
    file[20] = 7; /* mu-law */
    assert_false(flo_wav_is(file, WAV_BYTES));
    memcpy(file, wav, WAV_BYTES);
    memset(file + 16, 0xff, 4); /* a chunk beyond the end */
    assert_false(flo_wav_is(file, WAV_BYTES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_becomes_a_message_with_its_file),
        cmocka_unit_test(a_boundary_in_the_file_is_no_boundary),
        cmocka_unit_test(fields_that_cannot_be_are_named),
        cmocka_unit_test(a_file_that_fits_no_frame_is_too_large),
        cmocka_unit_test(a_broken_form_is_refused),
        cmocka_unit_test(a_quoted_boundary_of_other_letters_is_taken),
        cmocka_unit_test(a_wav_file_has_a_format_and_samples),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
