/* test_viterbi - the kernel `viterbi` (section 2 of llmq.h), and the encoder of trellis formats
   around it

       cc -O2 -o test_viterbi tests/test_viterbi.c && ./test_viterbi

   Every table that can run here gives the bits of the scalar kernel, sums and choices, in the
   lanes that are in use. The scalar kernel finds the minimum over all paths, as double precision
   finds it by trying them all. The encoder's search for a set's nearest point finds what a loop
   over all of them finds, and what it writes is the same with every table. All that the kernel
   reads or writes is placed at both ends of memory that is between unmapped pages. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "internals.h"

#if !LLMQ_NO_ENCODER && ((LLMQ_FORMATS) & LLMQ_WITH_TRELLISES) != 0

#define MAX_STATES 1024u
#define MAX_STEPS 300u
#define MAX_SETS 16u
#define MAX_POINTS 128u
#define WORK 40000u /* states times steps of most cases */

static check_wall point_wall, parity_wall, x_wall, sum_wall, choice_wall;
static float initial[(2 * MAX_STATES + MAX_SETS) * 16], wanted[(2 * MAX_STATES + MAX_SETS) * 16];
static uint16_t wanted_choice[MAX_STATES * MAX_STEPS];

static const llmq_kernels *scalar, *tables[16];
static uint32_t table_count;

/* What the kernel is given; its memory is at the start of the walls or at their ends. */
typedef struct search {
    float *points, *x, *sum;
    uint8_t *parity;
    uint16_t *choice;
    uint32_t raw, sets, states, steps, lanes;
} search;

static void *place(const check_wall *w, size_t bytes, uint32_t end) { return end ? w->end - bytes : w->start; }

static search open_search(uint32_t raw, uint32_t sets, uint32_t states, uint32_t steps, uint32_t lanes, uint32_t end)
{
    search s;
    s.raw = raw, s.sets = sets, s.states = states, s.steps = steps, s.lanes = lanes;
    s.points = (float *)place(&point_wall, (size_t)raw * sets * sizeof(float), end);
    s.parity = (uint8_t *)place(&parity_wall, (size_t)2 * states, end);
    s.x = (float *)place(&x_wall, (size_t)steps * 16 * sizeof(float), end);
    s.sum = (float *)place(&sum_wall, ((size_t)2 * states + sets) * 16 * sizeof(float), end);
    s.choice = (uint16_t *)place(&choice_wall, (size_t)states * steps * sizeof(uint16_t), end);
    return s;
}

static void run(const llmq_kernels *k, const search *s, float *sum, uint16_t *choice)
{
    k->viterbi(s->points, s->parity, s->raw, s->sets, s->states, s->x, s->steps, s->lanes, sum, choice);
}

/* ---- values ---------------------------------------------------------------------------------- */

enum { USUAL, MIDDLE, SUBNORMAL, HUGE_NUMBERS, SPECIAL, ANY, KINDS };

static float number_of(const search *s, uint32_t kind)
{
    static const uint32_t bits[] = { 0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffc00001u, 0, 0x80000000u, 0x7f7fffffu,
                                     0xff7fffffu, 1, 0x807fffffu, 0x00800000u, 0x5f0ac723u, 0x4f5e0000u };
    uint32_t n = s->raw * s->sets;
    float x = (float)check_normal();
    switch (kind) {
    case MIDDLE: return 0.5f * (s->points[check_below(n)] + s->points[check_below(n)]);
    case SUBNORMAL: return float_of(check_random() & 0x807fffffu);
    case HUGE_NUMBERS: return x * (float)power_of_2(10 + (int)check_below(100));
    case SPECIAL: return check_below(4) ? 50.0f * x : float_of(bits[check_below(COUNT(bits))]);
    case ANY: return float_of(check_random());
    default: return 50.0f * x;
    }
}

static void fill(search *s, uint32_t kind)
{
    uint32_t i, begin = check_below(4), n = 16 * s->states;
    for (i = 0; i < s->raw * s->sets; i++) s->points[i] = (float)((int32_t)check_below(256) - 128);
    for (i = 0; i < 2 * s->states; i++) s->parity[i] = (uint8_t)check_below(s->sets);
    for (i = 0; i < 16 * s->steps; i++) s->x[i] = number_of(s, kind);
    for (i = 0; i < n; i++)
        initial[i] = begin == 1 ? 1e19f : begin == 2 ? (float)check_exponential() : begin == 3 ? (float)check_below(4)
                     : 0.0f;
    for (i = 0; i < 16 && begin == 1; i++) initial[16 * check_below(s->states) + i] = 0.0f;
}

/* ---- the bits of the scalar kernel ----------------------------------------------------------- */

/* Lanes in use, that is. */
static int same_sums(const float *a, const float *b, const search *s)
{
    uint32_t i;
    for (i = 0; i < s->states; i++)
        if (memcmp(a + 16 * i, b + 16 * i, s->lanes * sizeof(float)) != 0) return 0;
    return 1;
}

static int same_choices(const uint16_t *a, const uint16_t *b, const search *s)
{
    uint32_t i, used = (1u << s->lanes) - 1;
    for (i = 0; i < s->states * s->steps; i++)
        if (((uint32_t)(a[i] ^ b[i]) & used) != 0) return 0;
    return 1;
}

static void compare(search *s, uint32_t kind)
{
    uint32_t i;
    memcpy(wanted, initial, (size_t)16 * s->states * sizeof(float));
    run(scalar, s, wanted, wanted_choice);
    for (i = 0; i < table_count; i++) {
        memcpy(s->sum, initial, (size_t)16 * s->states * sizeof(float));
        memset(s->choice, 0xa5, (size_t)s->states * s->steps * sizeof(uint16_t));
        run(tables[i], s, s->sum, s->choice);
        check_at("%s: raw %lu, sets %lu, states %lu, steps %lu, lanes %lu, values %lu", tables[i]->name,
                 (unsigned long)s->raw, (unsigned long)s->sets, (unsigned long)s->states, (unsigned long)s->steps,
                 (unsigned long)s->lanes, (unsigned long)kind);
        CHECK(same_sums(s->sum, wanted, s));
        CHECK(same_choices(s->choice, wanted_choice, s));
    }
    check_at("%s", "");
}

static void test_bits(void)
{
    static const uint32_t steps[] = { 0, 1, 2, 3, 4, 7, 31, 64, 127, 128, 255, 300 };
    uint32_t states, i, lanes, raw, turn = 0;
    for (states = 2; states <= MAX_STATES; states *= 2)
        for (raw = 1; raw <= 8; raw *= 2)
            for (i = 0; i < COUNT(steps); i++) {
                uint32_t sets = 1u << check_below(5), kind = turn++ % KINDS;
                search s;
                if (states * steps[i] > WORK && (raw != 4 || steps[i] < MAX_STEPS - 1)) continue;
                lanes = turn % 3 ? 16 : 1 + check_below(16);
                s = open_search(raw, sets, states, steps[i], lanes, turn / KINDS % 2);
                fill(&s, kind);
                compare(&s, kind);
            }
    for (lanes = 1; lanes <= 16; lanes++)
        for (i = 0; i < KINDS; i++) {
            search s = open_search(1u << lanes % 4, 1u << i % 5, 16, 20 + lanes % 2, lanes, i % 2);
            fill(&s, i);
            compare(&s, i);
        }
}

/* The built-in formats: their points and parities. */
static void test_formats(void)
{
    uint32_t i, k, bit, kind;
    llmq_format format;
    for (i = 0; llmq_format_at(&format, i) == LLMQ_OK; i++) {
        const llmq_format *f = &format;
        uint32_t parities = 0, memory = 0;
        search s;
        if (!f->taps[0]) continue;
        for (; parities < 4 && f->taps[parities]; parities++)
            while (f->taps[parities] >> (memory + 1)) memory++;
        for (kind = 0; kind < 2 * KINDS; kind++) {
            s = open_search(1u << (f->bits - 1), 1u << parities, 1u << memory, kind % 2 ? 128 : 97,
                            kind < KINDS ? 16 : 1 + check_below(16), kind % 2);
            fill(&s, kind % KINDS);
            for (k = 0; k < s.raw * s.sets; k++) s.points[k] = (float)f->points[k];
            for (k = 0; k < 2 * s.states; k++)
                for (s.parity[k] = 0, bit = 0; bit < parities * (memory + 1); bit++)
                    s.parity[k] ^= (uint8_t)((k & f->taps[bit % parities]) >> (bit / parities) & 1) << bit % parities;
            compare(&s, kind % KINDS);
        }
    }
}

/* ---- the minimum over all paths -------------------------------------------------------------- */

/* Least cost of step i with the points of a set. */
static double set_cost(const search *s, uint32_t i, uint32_t lane, uint32_t set)
{
    double least = 1e300, d;
    uint32_t k;
    for (k = set; k < s->raw * s->sets; k += s->sets) {
        d = (double)s->x[16 * i + lane] - (double)s->points[k];
        if (d * d < least) least = d * d;
    }
    return least;
}

/* least[state] of all paths from `state` on, whose cost so far is `cost`. */
static void try_paths(const search *s, uint32_t i, uint32_t lane, uint32_t state, double cost, double *least)
{
    uint32_t bit;
    if (i == s->steps && cost < least[state]) least[state] = cost;
    for (bit = 0; bit < 2 && i < s->steps; bit++) {
        uint32_t at = state << 1 | bit;
        try_paths(s, i + 1, lane, at & (s->states - 1), cost + set_cost(s, i, lane, s->parity[at]), least);
    }
}

/* The cost of the path back from a state by the choices, and of where it begins. */
static double path_cost(const search *s, const uint16_t *choice, uint32_t lane, uint32_t state)
{
    double cost = 0.0;
    uint32_t i;
    for (i = s->steps; i-- > 0;) {
        if (choice[i * s->states + state] >> lane & 1) state += s->states;
        cost += set_cost(s, i, lane, s->parity[state]);
        state /= 2;
    }
    return cost + (double)initial[16 * state + lane];
}

static void test_paths(void)
{
    double least[16];
    uint32_t turn, q, lane;
    for (turn = 0; turn < 300; turn++) {
        search s = open_search(1u << turn % 3, 1u << turn / 3 % 4, 2u << turn % 4, check_below(7), 1 + turn % 16, 0);
        fill(&s, USUAL);
        memcpy(wanted, initial, (size_t)16 * s.states * sizeof(float));
        run(scalar, &s, wanted, wanted_choice);
        for (lane = 0; lane < s.lanes; lane++) {
            int good = 1;
            for (q = 0; q < s.states; q++) least[q] = 1e300;
            for (q = 0; q < s.states; q++) try_paths(&s, 0, lane, q, (double)initial[16 * q + lane], least);
            for (q = 0; q < s.states; q++) {
                double room = 1e-5 * (1e-3 + least[q]);
                good = good && check_abs((double)wanted[16 * q + lane] - least[q]) <= room;
                good = good && check_abs(path_cost(&s, wanted_choice, lane, q) - least[q]) <= room;
            }
            check_at("states %lu, steps %lu, lane %lu", (unsigned long)s.states, (unsigned long)s.steps,
                     (unsigned long)lane);
            CHECK(good);
        }
    }
    check_at("%s", "");
}

/* ---- what is around it ----------------------------------------------------------------------- */

static uint32_t nearest_of_all(const float *points, uint32_t n, uint32_t sets, uint32_t set, float x)
{
    float least = 1e19f, d;
    uint32_t k, best = set;
    for (k = set; k < n; k += sets) {
        d = x - points[k];
        d = d * d;
        if (d < least) least = d, best = k;
    }
    return best;
}

/* The points of every set ascend, and the search by halves finds the first of the nearest: at
   and beside each middle, and anywhere. */
static void test_nearest(void)
{
    float points[MAX_POINTS];
    uint32_t i, k, set, turn;
    llmq_format format;
    for (i = 0; llmq_format_at(&format, i) == LLMQ_OK; i++) {
        const llmq_format *f = &format;
        uint32_t sets = 1, n;
        search s;
        if (!f->taps[0]) continue;
        for (k = 0; k < 4 && f->taps[k]; k++) sets *= 2;
        n = sets << (f->bits - 1);
        s = open_search(n / sets, sets, 2, 0, 1, 0);
        for (k = 0; k < n; k++) s.points[k] = points[k] = (float)f->points[k];
        for (k = sets; k < n; k++) CHECK(f->points[k] > f->points[k - sets]);
        for (set = 0; set < sets; set++) {
            int same = 1;
            for (turn = 0; turn < 3000; turn++) {
                float x = number_of(&s, turn % KINDS);
                if (turn % KINDS == MIDDLE) x = float_of(bits_of(x) + check_below(5) - 2u);
                same = same && llmq__trellis_nearest(points, n, sets, set, x) == nearest_of_all(points, n, sets, set,
                        x);
            }
            check_at("%s, set %lu", f->name, (unsigned long)set);
            CHECK(same);
        }
    }
    check_at("%s", "");
}

/* Encoded by the scalar table and by the others: rows shorter than the memory, than a ring, than
   two; incomplete lanes and units. */
static void test_encoder(const char *name, uint32_t rows, uint32_t cols, uint32_t group, int effort)
{
    llmq_format f;
    llmq_tensor t;
    llmq_encode_options options;
    uint32_t i;
    float *w;
    unsigned char *data, *other;
    void *work;
    size_t size, need;
    memset(&options, 0, sizeof options);
    options.effort = effort;
    CHECK(llmq_format_find(&f, name, group) == LLMQ_OK);
    size = llmq_tensor_size(&f, rows, cols);
    data = (unsigned char *)malloc(size);
    other = (unsigned char *)malloc(size);
    w = (float *)malloc((size_t)rows * cols * sizeof(float));
    if (!data || !other || !w) exit(2);
    for (i = 0; i < rows * cols; i++)
        w[i] = (float)check_normal() * (check_below(300) ? 1.0f : (float)power_of_2((int)check_below(30)));
    for (i = 0; i < cols && rows > 2; i++) w[i] = 0.0f, w[cols + i] *= (float)power_of_2(-60);
    CHECK(llmq_tensor_init(&t, &f, NULL, rows, cols, data, size) == LLMQ_OK);
    need = llmq_encode_work_size(&t);
    work = malloc(need);
    if (!work) exit(2);
    t.kernels = scalar;
    CHECK(llmq_encode(&t, data, 0, rows, w, cols, &options, work, need, NULL) == LLMQ_OK);
    t.data = other;
    for (i = 0; i < table_count; i++) {
        t.kernels = tables[i];
        CHECK(llmq_encode(&t, other, 0, rows, w, cols, &options, work, need, NULL) == LLMQ_OK);
        check_at("%s of %s: %lu x %lu, effort %d", tables[i]->name, name, (unsigned long)rows, (unsigned long)cols,
                 effort);
        CHECK(memcmp(data, other, size) == 0);
    }
    check_at("%s", "");
    free(data), free(other), free(w), free(work);
}

int main(void)
{
    uint32_t i;
    const llmq_kernels *k;
    llmq_format f;
    scalar = llmq_kernels_at(0);
    for (i = 1; (k = llmq_kernels_at(i)) != NULL && table_count < COUNT(tables); i++)
        if ((k->features & ~llmq_cpu_features()) == 0) tables[table_count++] = k;
    point_wall = check_wall_open(MAX_POINTS * sizeof(float));
    parity_wall = check_wall_open(2 * MAX_STATES);
    x_wall = check_wall_open(MAX_STEPS * 16 * sizeof(float));
    sum_wall = check_wall_open(sizeof initial);
    choice_wall = check_wall_open(sizeof wanted_choice);
    test_bits();
    test_formats();
    test_paths();
    test_nearest();
    for (i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) {
        if (!f.taps[0]) continue;
        test_encoder(f.name, 3, 50, 0, LLMQ_EFFORT_DEFAULT);
        test_encoder(f.name, 140, 100, 32, LLMQ_EFFORT_FAST);
        test_encoder(f.name, 256, 33, 0, LLMQ_EFFORT_FAST);
    }
    check_wall_close(&point_wall), check_wall_close(&parity_wall), check_wall_close(&x_wall);
    check_wall_close(&sum_wall), check_wall_close(&choice_wall);
    return check_done("test_viterbi");
}

#else
int main(void) { return check_done("test_viterbi"); }
#endif
