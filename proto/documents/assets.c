/* Assets of a release: documents, prompts and indexes for other programs. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct flo_asset *)a)->name, ((const struct flo_asset *)b)->name);
}

void flo_release_assets(const struct flo_release *release,
                        const struct flo_release_variant *variant, struct flo_asset_list *out)
{
    memset(out, 0, sizeof(*out));
    for (uint32_t i = 0; i < variant->file_count; i++) {
        const struct flo_release_file *file = &release->files[variant->files[i]];
        struct flo_asset *asset = &out->files[out->count];
        if (strcmp(file->role, "asset") == 0) {
            memcpy(asset->name, file->name, sizeof(asset->name));
            asset->digest = file->digest;
            asset->bytes = file->bytes;
            out->count++;
        }
    }
    qsort(out->files, out->count, sizeof(out->files[0]), by_name);
}

const struct flo_asset *flo_asset_find(const struct flo_asset_list *assets, const char *name)
{
    for (uint32_t i = 0; i < assets->count; i++) {
        if (strcmp(assets->files[i].name, name) == 0) {
            return &assets->files[i];
        }
    }
    return NULL;
}
