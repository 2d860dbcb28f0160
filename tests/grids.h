/* grids.h - formats by name: the built-in ones, and grids that were built in until 0.10 as custom grids

   They are the only points of three and four coordinates, and the largest ones of two, that known answers exist for.
   Include it after llmq.h. */
#ifndef TESTS_GRIDS_H
#define TESTS_GRIDS_H

#include "vectors/grids.h"

static const struct { const char *name; uint32_t p, n; const int8_t *points; float unit; } former_grids[] = {
    { "v2n256", 2, 256, grid_v2n256, GRID_UNIT_V2N256 }, { "v3n64", 3, 64, grid_v3n64, GRID_UNIT_V3N64 },
    { "v3n512", 3, 512, grid_v3n512, GRID_UNIT_V3N512 }, { "v4n256", 4, 256, grid_v4n256, GRID_UNIT_V4N256 }
};

static inline llmq_status find_format(llmq_format *f, const char *name, uint32_t group)
{
    uint32_t i;
    for (i = 0; i < COUNT(former_grids); i++)
        if (strcmp(name, former_grids[i].name) == 0)
            return llmq_format_custom(f, former_grids[i].p, former_grids[i].n, former_grids[i].points,
                                      former_grids[i].unit, group);
    return llmq_format_find(f, name, group);
}

#endif
