/* Assets stand-in: takes the place of assets in a build without them.  Their
 * paths answer not.built. */
#include "agent/serve/assets/assets.h"
#include "base/left_out.h"

void flo_assets_answer(struct flo_serve *serve, struct flo_httpd_request *http, int token)
{
    struct flo_err err = {0};

    (void)serve, (void)token;
    (void)flo_left_out(&err, "assets", "FLOTILLA_ASSETS");
    flo_httpd_answer_err(http, &err);
}
