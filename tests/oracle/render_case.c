/* One case of renders as JSON on standard input, and the text that a template
 * makes of it on standard output: render_case TEMPLATE < CASE.
 *
 * 1: the template refuses the conversation; 2: anything else is wrong. */
#include <flotilla/base.h>

#include "unit/engine/render_case.h"

#define TEMPLATE_BYTES_MAX (1u << 20)

static int render(const char *path, const struct flo_tree_node *node, struct flo_buf *out,
                  struct flo_err *err)
{
    char *text = NULL;
    size_t bytes = 0;
    struct flo_jinja *jinja = NULL;
    struct flo_buf marks = {0};
    struct render_case it;
    int rv = flo_file_read(path, TEMPLATE_BYTES_MAX, &text, &bytes, err);
    if (rv == 0) {
        rv = flo_jinja_open(text, bytes, &jinja, err);
    }
    if (rv == 0) {
        rv = render_case_read(&it, node) ? flo_jinja_render(jinja, &it.input, out, &marks, err)
                                         : flo_fail(err, FLO_E_USAGE, "no such case");
        render_case_deinit(&it);
    }
    flo_jinja_close(jinja);
    flo_buf_deinit(&marks);
    free(text);
    return rv;
}

int main(int argc, char **argv)
{
    struct flo_buf in = {0}, out = {0};
    struct flo_tree tree = {0};
    struct flo_err err = {0};
    char part[4096];
    size_t n;
    int rv = argc == 2 ? 0 : flo_fail(&err, FLO_E_USAGE, "no template");
    while ((n = fread(part, 1, sizeof(part), stdin)) > 0) {
        flo_buf_add(&in, part, n);
    }
    flo_buf_add(&in, "", 0);
    rv = rv < 0 ? rv : flo_tree_read(&tree, in.data, in.bytes, 0, 0, NULL, &err);
    rv = rv < 0 ? rv : render(argv[1], tree.nodes, &out, &err);
    if (rv == 0 && out.bytes > 0) {
        fwrite(out.data, 1, out.bytes, stdout);
    }
    if (rv < 0) {
        flo_err_print(stderr, &err);
    }
    flo_tree_deinit(&tree);
    flo_buf_deinit(&in);
    flo_buf_deinit(&out);
    return rv == 0 ? 0 : rv == FLO_E_INFER_PARAM ? 1 : 2;
}
