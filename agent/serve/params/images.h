/* Images: accepts images in messages only as base64 bytes within the
 * request. */
#ifndef FLOTILLA_SERVE_IMAGES_H
#define FLOTILLA_SERVE_IMAGES_H

#include "agent/serve/params/params.h"

/* Checks that `url` is `data:image/TYPE;base64,...` of a PNG, JPEG, WebP or GIF
 * whose first bytes match the type.  Links are refused, because a device
 * fetches nothing for a prompt.
 * FLO_E_INFER_PARAM  it is not; the text continues a sentence that names the
 * message */
FLO_MUST_USE int flo_image_check(struct flo_wire_text url, struct flo_err *err);
/* Returns the type that the first bytes of a base64 text show; NULL: none of
 * the supported types. */
const char *flo_image_type(struct flo_wire_text base64);
/* Makes an image part of an OpenAI content.  Returns NULL when memory is
 * lacking or an argument is NULL. */
json_t *flo_image_part(const char *type, const char *base64);

#endif
