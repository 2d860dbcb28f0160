/* transforms.h: what each transform, and each way to quantize an activation, costs beside the
   product that it is for. */
#ifndef BENCH_TRANSFORMS_H
#define BENCH_TRANSFORMS_H

#include "steps.h"

#define WIDE 4096 /* numbers of the input; the product is with WIDE x WIDE weights in g4 */

static const struct online {
    const char *name, *text;
    llmq_step step[3];
    llmq_activation_options how;
} onlines[] = {
    { "none", "no transform, 8 bits", { { 0, 0, 0 } }, { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "smooth", "smoothing that was not folded", { { LLMQ_STEP_SMOOTH, 0, WIDE } }, { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "hadamard", "Hadamard of 1024", { { LLMQ_STEP_HADAMARD, 1024, 1 } }, { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "hadamard128", "Hadamard of 128 (zigzag, folded)", { { LLMQ_STEP_HADAMARD, 128, 1 } },
      { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "zigzag", "zigzag permutation, Hadamard of 128",
      { { LLMQ_STEP_PERMUTE, 0, WIDE }, { LLMQ_STEP_HADAMARD, 128, 1 } }, { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "duquant", "DuQuant: rotation of 128, zigzag, rotation",
      { { LLMQ_STEP_ROTATE, 128, 1 }, { LLMQ_STEP_PERMUTE, 0, WIDE }, { LLMQ_STEP_ROTATE, 128, 1 } },
      { 8, 0, LLMQ_SCALES_GROUP, 1 } },
    { "bits4", "no transform, 4 bits, asymmetric, clip 0.95", { { 0, 0, 0 } }, { 4, 1, LLMQ_SCALES_GROUP, 0.95f } },
    { "bits4token", "  and one scale for all", { { 0, 0, 0 } }, { 4, 1, LLMQ_SCALES_TOKEN, 0.9f } },
};
#define ONLINES ((int)(sizeof onlines / sizeof *onlines))

static const struct online *measured;

static void run_online(void *context)
{
    call *c = (call *)context;
    llmq_activation a;
    must(llmq_activations_prepare(&a, &c->t, &measured->how, 1, c->in, c->t.cols, c->work, c->work_size));
}

/* Any data will do: smoothing by 1, every 5th channel next, a rotation with all entries 1 / sqrt(128) that is none. */
static llmq_transform online_transform(const struct online *o)
{
    static unsigned char data[2 * 4 * 128 * 128 + 2 * WIDE];
    llmq_transform t;
    unsigned char *at = data;
    memset(&t, 0, sizeof t);
    for (; t.count < 3 && o->step[t.count].kind; t.count++) {
        const llmq_step *step = &o->step[t.count];
        const size_t size = llmq_step_data_size(step);
        const unsigned char number[4] = { 0xf3, 0x04, (unsigned char)(step->kind == LLMQ_STEP_SMOOTH ? 0x80 : 0xb5),
                                          (unsigned char)(step->kind == LLMQ_STEP_SMOOTH ? 0x3f : 0x3d) };
        for (size_t i = 0; i < size; i++)
            at[i] = step->kind == LLMQ_STEP_PERMUTE ? (unsigned char)((i / 2 * 5 % WIDE) >> i % 2 * 8 & 255)
                    : number[i % 4];
        at += size;
        t.step[t.count] = *step;
    }
    t.data = data;
    return t;
}

static void part_transforms(void)
{
    static duel d[TABLES];
    static call c[TABLES][2];
    llmq_format f;
    must(llmq_format_find(&f, "g4", 128));
    for (int k = 0; k < ONLINES && !stopped; k++) {
        llmq_transform t = online_transform(&onlines[k]);
        llmq_tensor none = tensor_make(&f, &t, 1, WIDE);
        measured = &onlines[k];
        progress(measured->name, f.name);
        for (int i = 0; i < table_count; i++) {
            memset(d[i].job, 0, sizeof d[i].job);
            for (int j = 0; j < 2; j++) {
                c[i][j] = call_make(&none, tables[i]);
                d[i].job[j].context = &c[i][j];
            }
            set_tensor(c[i], &f, &t, WIDE, WIDE);
            d[i].job[0].run = run_online;
            d[i].job[1].run = run_product;
        }
        race(d, table_count, options.seconds, 100e-6);
        record((double)llmq_transform_cost(&t, WIDE), "bench.online.%s.macs", measured->name);
        for (int i = 0; i < table_count && !stopped; i++) {
            record(d[i].time[0] / (d[i].time[0] + d[i].time[1]), "bench.%s.online.%s.share", tables[i]->name,
                   measured->name);
            record(d[i].time[0] * 1e6, "bench.%s.online.%s.us", tables[i]->name, measured->name);
        }
    }
}

static void print_transforms(void)
{
    printf("\nPreparing %d numbers, %% of that and a %d x %d g4 product\n%-44s %8s", WIDE, WIDE, WIDE, "", "adds/x");
    for (int i = 0; i < table_count; i++) printf(" %10s", tables[i]->name);
    printf("\n");
    for (int k = 0; k < ONLINES; k++) {
        printf("%-44s", onlines[k].text);
        cell(recorded("bench.online.%s.macs", onlines[k].name) / WIDE, 8, 0);
        for (int i = 0; i < table_count; i++)
            cell(100 * recorded("bench.%s.online.%s.share", tables[i]->name, onlines[k].name), 10, 2);
        printf("\n");
    }
}

#endif
