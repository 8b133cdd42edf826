/* Where an exporter's file lies. */
#pragma once

#include <stdio.h>

#include <errno.h>

#include "exporter/exporter.h"

#define FT_EXPORTER_PATH_SIZE 4096

/* `path` itself if absolute, else below the data directory. 0, -ENAMETOOLONG. */
static inline int ft_exporter_path(const struct ft_exporter_head *head, const char *path,
                                   char out[FT_EXPORTER_PATH_SIZE])
{
    int n = path[0] == '/' ? snprintf(out, FT_EXPORTER_PATH_SIZE, "%s", path)
                           : snprintf(out, FT_EXPORTER_PATH_SIZE, "%s/%s",
                                      head->data_dir ? head->data_dir : ".", path);

    return n < FT_EXPORTER_PATH_SIZE ? 0 : -ENAMETOOLONG;
}
