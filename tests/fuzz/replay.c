/* Give a target each file of a folder, whole and cut short, so that found
 * inputs stay tested by every compiler.  In a libFuzzer build the same program
 * does it for `fuzz_x -replay FOLDER`. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* A copy in a block of exactly that size, so that reads after it are seen. */
static void give(const char *data, size_t bytes)
{
    uint8_t *copy = calloc(1, bytes > 0 ? bytes : 1);

    if (bytes > 0) {
        memcpy(copy, data, bytes);
    }
    LLVMFuzzerTestOneInput(copy, bytes);
    free(copy);
}

static int replay(const char *folder)
{
    size_t files = 0;
    DIR *dir = opendir(folder);

    give("", 0);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char path[4096];
        char *data;
        size_t bytes;
        struct flo_err err = {0};
        if (entry->d_name[0] == '.' || !flo_path_join(path, sizeof(path), folder, entry->d_name)) {
            continue;
        }
        if (flo_file_read(path, 16 << 20, &data, &bytes, &err) < 0) {
            return flo_err_print(stderr, &err);
        }
        size_t step = bytes / 64 + 1;
        for (size_t cut = 0; cut < bytes; cut += step) {
            give(data, cut);
        }
        give(data, bytes);
        free(data);
        files++;
    }
    if (dir != NULL) {
        closedir(dir);
    }
    printf("%zu files\n", files);
    return files > 0 ? 0 : 1;
}

#ifdef FLOTILLA_LIBFUZZER
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    if (*argc == 3 && strcmp((*argv)[1], "-replay") == 0) {
        exit(replay((*argv)[2]));
    }
    return 0;
}
#else
int main(int argc, char **argv)
{
    return replay(argc > 2 ? argv[2] : "");
}
#endif
