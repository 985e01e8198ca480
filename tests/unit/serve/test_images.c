/* Images of a chat: where they stand in a message's text, how a wrong one is
 * refused, and how they go when their turn does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/serve/params/images.h"

#define PNG "data:image/png;base64,iVBORw0KGgo="
#define JPEG "data:image/jpeg;base64,/9j/4A=="
#define IMAGE(url) "{\"type\":\"image_url\",\"image_url\":{\"url\":\"" url "\"}}"
#define TEXT(text) "{\"type\":\"text\",\"text\":\"" text "\"}"
#define SAID(role, parts) "{\"role\":\"" role "\",\"content\":[" parts "]}"
#define SAYS(messages) "{\"messages\":[" messages "]}"
#define FIVE(part) part "," part "," part "," part "," part

static struct serve_params params;
static struct flo_err err;

static const struct flo_wire_generate *ask(const char *body)
{
    memset(&err, 0, sizeof(err));
    if (flo_params_read(REQUEST_CHAT, body, strlen(body), &params, &err) < 0) {
        fail_msg("%s: %s", body, err.what);
    }
    return &params.message.generate;
}

static void expect_text(struct flo_wire_text text, const char *wanted)
{
    if (text.bytes != strlen(wanted) || memcmp(text.data, wanted, text.bytes) != 0) {
        fail_msg("%.*s, wanted %s", (int)text.bytes, text.data, wanted);
    }
}

static void images_keep_their_place_among_texts(void **state)
{
    (void)state;
    const struct flo_wire_generate *in = ask(SAYS(SAID("user", TEXT("a")) "," SAID(
        "user", TEXT("b") "," TEXT("c") "," IMAGE(PNG) "," IMAGE(JPEG) "," TEXT(
                    "d")) "," SAID("user", IMAGE(PNG))));
    expect_text(in->messages[1].content, "b\ncd");
    assert_int_equal(in->messages[2].content.bytes, 0);
    assert_int_equal(in->n_images, 3);
    assert_int_equal(in->images[0].message, 1);
    assert_int_equal(in->images[0].at, 3);
    assert_int_equal(in->images[1].at, 3);
    assert_int_equal(in->images[2].message, 2);
    assert_int_equal(in->images[2].at, 0);
    expect_text(in->images[0].url, PNG);
    expect_text(in->images[1].url, JPEG);
    flo_params_deinit(&params);
}

static void every_type_and_detail_is_taken(void **state)
{
    (void)state;
    const struct flo_wire_generate *in = ask(SAYS(
        SAID("user", IMAGE("data:image/gif;base64,R0lGODlh") "," IMAGE(
                         "DATA:image/"
                         "webp;base64,"
                         "UklGRgAAAABXRUJ"
                         "Q") "," IMAGE("data:image/jpg;base64,/9j/4A==") ",{\"type\":"
                                                                          "\"image_url\","
                                                                          "\"image_url\":{"
                                                                          "\"url\":"
                                                                          "\"" PNG "\",\"detail\":"
                                                                          "\"low\"}}")));
    assert_int_equal(in->n_images, 4);
    assert_int_equal(in->images[0].detail, FLO_WIRE_DETAIL_UNSAID);
    assert_int_equal(in->images[3].detail, FLO_WIRE_DETAIL_LOW);
    flo_params_deinit(&params);
}

static void wrong_images_are_refused_with_their_place(void **state)
{
    static const struct {
        const char *body, *says;
    } rows[] = {
        {SAYS(SAID("user", TEXT("a")) "," SAID("user", IMAGE("https://example.org/a.png"))),
         "messages[1] has an image by a link: a device fetches nothing"},
        {SAYS(SAID("user", IMAGE("file:///etc/passwd"))), "by a link"},
        {SAYS(SAID("user", IMAGE(""))), "by a link"},
        {SAYS(SAID("user", IMAGE("data:image/svg+xml;base64,PHN2Zz4="))), "no base64 of image/png"},
        {SAYS(SAID("user", IMAGE("data:image/png,iVBORw0KGgo="))), "no base64 of image/png"},
        {SAYS(SAID("user", IMAGE("data:image/png;base64,"))), "is broken"},
        {SAYS(SAID("user", IMAGE("data:image/png;base64,iVBORw0KGgo"))), "is broken"},
        {SAYS(SAID("user", IMAGE("data:image/png;base64,iVBORw0K\\nGgo="))), "is broken"},
        {SAYS(SAID("user", IMAGE("data:image/png;base64,AAAAAAAA"))),
         "says image/png, and its bytes are no image"},
        {SAYS(SAID("user", IMAGE("data:image/png;base64,/9j/4A=="))),
         "says image/png, and its bytes are image/jpeg"},
        {SAYS(SAID("user", IMAGE("data:image/webp;base64,UklGRgAAAAA="))),
         "its bytes are no image"},
        {SAYS(SAID("user", "{\"type\":\"image_url\"}")), "without an image_url that has a url"},
        {SAYS(SAID("user", "{\"type\":\"image_url\",\"image_url\":{\"url\":"
                           "\"" PNG "\",\"detail\":\"most\"}}")),
         "detail is none of auto, low and high"},
        {SAYS(SAID("system", IMAGE(PNG))), "only a user's message"},
        {SAYS(SAID("assistant", IMAGE(PNG))), "only a user's message"},
        {SAYS(SAID("user", FIVE(IMAGE(PNG)) "," FIVE(IMAGE(PNG)) "," FIVE(IMAGE(PNG)) "," IMAGE(
                               PNG) "," IMAGE(PNG))),
         "messages[0] has one image more than the 16 of a request"},
        {SAYS(SAID("user", "{\"type\":\"input_audio\"}")), "is not text"},
    };
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        memset(&err, 0, sizeof(err));
        int rv = flo_params_read(REQUEST_CHAT, rows[i].body, strlen(rows[i].body), &params, &err);
        if (rv != FLO_E_INFER_PARAM || strcmp(params.param, "messages") != 0 ||
            strstr(err.what, rows[i].says) == NULL) {
            fail_msg("%s: %s", rows[i].body, err.what);
        }
    }
}

/* The check decodes in blocks: padding is allowed in the last one alone. */
static void a_long_image_is_checked_to_its_end(void **state)
{
    enum { CHARS = 3 * 4096 + 8 };
    static const char head[] = "data:image/png;base64,";
    static const struct {
        size_t at;
        const char *with;
        int rv;
    } rows[] = {
        {8, "AAAA", 0},
        {CHARS - 4, "AA==", 0},
        {4092, "AAA=", FLO_E_INFER_PARAM},
        {8192 - 4, "AA==", FLO_E_INFER_PARAM},
        {5000, "A-_A", FLO_E_INFER_PARAM},
        {CHARS - 4, "AAA ", FLO_E_INFER_PARAM},
    };
    struct flo_buf url = {0};
    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        url.bytes = 0;
        flo_buf_text(&url, head);
        for (size_t k = 0; k < CHARS; k++) {
            flo_buf_text(&url, "A");
        }
        memcpy(url.data + strlen(head), "iVBORw0KGgoA", 12);
        memcpy(url.data + strlen(head) + rows[i].at + (i == 0 ? 8 : 0), rows[i].with, 4);
        assert_int_equal(flo_image_check((struct flo_wire_text){url.data, url.bytes}, &err),
                         rows[i].rv);
    }
    flo_buf_deinit(&url);
}

static void images_go_with_their_turn(void **state)
{
    (void)state;
    const struct flo_wire_generate *in =
        ask(SAYS(SAID("system", TEXT("s")) "," SAID("user", IMAGE(PNG)) "," SAID(
            "assistant", TEXT("a")) "," SAID("user", TEXT("b") "," IMAGE(JPEG))));
    assert_true(flo_params_drop_turn(&params));
    assert_int_equal(in->n_messages, 2);
    assert_int_equal(in->n_images, 1);
    assert_int_equal(in->images[0].message, 1);
    assert_int_equal(in->images[0].at, 1);
    expect_text(in->images[0].url, JPEG);
    flo_params_deinit(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_keep_their_place_among_texts),
        cmocka_unit_test(every_type_and_detail_is_taken),
        cmocka_unit_test(wrong_images_are_refused_with_their_place),
        cmocka_unit_test(a_long_image_is_checked_to_its_end),
        cmocka_unit_test(images_go_with_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
