/* test_allocate - section 18 of llmq.h: which option for which layer

       cc -O2 -o test_allocate tests/test_allocate.c -lm && ./test_allocate

   Small instances are compared with all choices there are, larger ones with optima that another solver has proven
   (tests/gen/allocate.py), the largest with bounds that are computed here in another way. */
#include "check.h"

#define LLMQ_IMPLEMENTATION
#include "../llmq.h"

#include "vectors/allocate.h"

#include <math.h>

#define LAYERS 1024u
#define OPTIONS 32768u

typedef struct problem {
    uint32_t layers, first[LAYERS + 1], tie[LAYERS];
    uint64_t budget;
    llmq_option option[OPTIONS];
} problem;

static problem small, other, large; /* too large for a stack */
static check_wall wall;
static uint32_t choice[LAYERS];

static double power(int e) { return ldexp(1.0, e); }
static int same(double a, double b) { return !(a < b) && !(a > b); }
static uint32_t count_of(const problem *p, uint32_t l) { return p->first[l + 1] - p->first[l]; }
static const llmq_option *at(const problem *p, uint32_t l, uint32_t i) { return &p->option[p->first[l] + i]; }
static int is_infinite(double x) { return x > 1.7976931348623157e308; }
static int near(double a, double b, double scale) { return check_abs(a - b) <= 1e-12 * scale; }

/* Calls it with room for so many states (0: as many as are usual), in memory that ends where the
   workspace does, but for the bytes that its alignment takes; what lies there must stay as it
   is. */
static llmq_status allocate_in(const problem *p, const uint32_t *tie, uint32_t states, llmq_allocation *r,
                               llmq_error *e)
{
    size_t size = llmq_allocate_work_size(p->layers, p->first[p->layers], states), odd = (8 - size % 8) % 8, i;
    unsigned char *work = wall.end - size - odd;
    llmq_status status;
    if (size == 0 || size + odd > (size_t)(wall.end - wall.start)) exit(2);
    memset(wall.end - odd, 0x5a, odd);
    memset(choice, 0xff, sizeof choice);
    memset(r, 0xff, sizeof *r);
    status = llmq_allocate(p->option, p->first, p->layers, tie, p->budget, choice, r, work, size, e);
    for (i = 1; i <= odd; i++) CHECK_EQ(wall.end[-(int)i], 0x5a);
    return status;
}

/* Do the sums of the choice fit it, the budget and the ties? */
static int consistent(const problem *p, const uint32_t *tie, const llmq_allocation *r)
{
    uint64_t cost = 0;
    double loss = 0.0;
    uint32_t l, k;
    for (l = 0; l < p->layers; l++) {
        if (choice[l] >= count_of(p, l)) return 0;
        for (k = 0; tie && k < l; k++)
            if (tie[k] == tie[l] && choice[k] != choice[l]) return 0;
        cost += at(p, l, choice[l])->cost;
        loss += at(p, l, choice[l])->loss;
    }
    return cost == r->cost && cost <= p->budget && same(loss, r->loss) && r->bound <= r->loss
           && r->states >= 1 - (r->tried == 0) && choice[p->layers] == 0xffffffffu;
}

/* Sum of the largest absolute losses that are finite: what rounding is relative to where terms of both signs cancel. */
static double magnitude(const problem *p)
{
    double sum = 0.0, most;
    uint32_t l, i;
    for (l = 0; l < p->layers; l++, sum += most)
        for (most = 0.0, i = 0; i < count_of(p, l); i++) {
            double a = check_abs(at(p, l, i)->loss);
            if (!is_infinite(a) && a > most) most = a;
        }
    return sum;
}

/* ---- all choices ----------------------------------------------------------------------------- */

typedef struct search {
    const problem *p;
    const uint32_t *tie;
    uint32_t at[16];
    double best;
    uint64_t least; /* cost of any choice */
    int found;
} search;

static void search_from(search *s, uint32_t l, uint64_t cost, double loss)
{
    uint32_t i, k, from = 0, to;
    if (l == s->p->layers) {
        if (cost < s->least) s->least = cost;
        if (cost <= s->p->budget && (!s->found || loss < s->best)) s->best = loss, s->found = 1;
        return;
    }
    to = count_of(s->p, l);
    for (k = 0; s->tie && k < l; k++)
        if (s->tie[k] == s->tie[l]) from = s->at[k], to = from + 1;
    for (i = from; i < to; i++) {
        const llmq_option *o = at(s->p, l, i);
        s->at[l] = i;
        if (!is_infinite(o->loss)) search_from(s, l + 1, cost + o->cost, loss + o->loss);
    }
}

static search search_all(const problem *p, const uint32_t *tie)
{
    search s;
    memset(&s, 0, sizeof s);
    s.p = p, s.tie = tie;
    s.least = ~(uint64_t)0;
    search_from(&s, 0, 0, 0.0);
    return s;
}

/* The answer must be that of a search of all choices; scale: of the losses, for rounding. */
static void compare(const problem *p, const uint32_t *tie, const search *s, double scale)
{
    llmq_allocation r;
    llmq_error e;
    llmq_status status;
    memset(&e, 0x77, sizeof e);
    status = allocate_in(p, tie, 0, &r, &e);
    CHECK_EQ(e.status, 0x77777777);
    if (!s->found) {
        CHECK_EQ(status, LLMQ_E_LIMIT);
        CHECK(r.cost == s->least && r.states == 0xffffffffu && r.tried == 0xffffffffu && choice[0] == 0xffffffffu);
        return;
    }
    CHECK_EQ(status, LLMQ_OK);
    CHECK(consistent(p, tie, &r));
    CHECK(near(r.loss, s->best, scale));
    CHECK(same(r.bound, r.loss));
}

/* ---- random instances ------------------------------------------------------------------------ */

enum { COSTS = 7, LOSSES = 10, BUDGETS = 8 };

static uint64_t random_cost(uint32_t kind)
{
    switch (kind) {
    case 0: return check_below(10);
    case 1: return 7;
    case 2: return check_below(1000);
    case 3: return (uint64_t)1 << check_below(54);
    case 4: return (uint64_t)check_random() << 21; /* up to 2^53 */
    case 5: return 10 * (uint64_t)check_below(4);
    default: return check_below(3) ? 1000000 + check_below(50) : 0;
    }
}

static double random_loss(uint32_t kind, uint64_t cost)
{
    switch (kind) {
    case 0: return (double)check_below(10);
    case 1: return 2.5;
    case 2: return check_uniform();
    case 3: return (double)check_below(20) - 10.0;
    case 4: return check_below(4) ? check_uniform() : HUGE_VAL;
    case 5: return 100.0 - 0.1 * (double)(cost % 1000);  /* on a line, but for rounding */
    case 6: return pow(10.0, 12.0 * check_uniform() - 6.0);
    case 7: return check_uniform() / (1.0 + (double)cost);
    case 8: return 1e6 * (check_uniform() - 0.5);
    default: return check_below(3) ? 0.0 : (double)check_below(3);
    }
}

/* A choice of options that are not infinite, if there is one: its cost. */
static uint64_t some_cost(const problem *p, const uint32_t *tie)
{
    uint32_t l, k, picked[LAYERS];
    uint64_t cost = 0;
    for (l = 0; l < p->layers; l++) {
        picked[l] = check_below(count_of(p, l));
        for (k = 0; tie && k < l; k++)
            if (tie[k] == tie[l]) picked[l] = picked[k];
        cost += at(p, l, picked[l])->cost;
    }
    return cost;
}

static void random_budget(problem *p, const uint32_t *tie, uint32_t kind)
{
    uint64_t least = 0, most = 0, cost = some_cost(p, tie);
    uint32_t l, i;
    for (l = 0; l < p->layers; l++) {
        uint64_t low = ~(uint64_t)0, high = 0;
        for (i = 0; i < count_of(p, l); i++) {
            if (at(p, l, i)->cost < low) low = at(p, l, i)->cost;
            if (at(p, l, i)->cost > high) high = at(p, l, i)->cost;
        }
        least += low, most += high;
    }
    switch (kind) {
    case 0: p->budget = 0; break;
    case 1: p->budget = cost; break;
    case 2: p->budget = cost ? cost - 1 : 0; break;
    case 3: p->budget = least; break;
    case 4: p->budget = least ? least - 1 : 0; break;
    case 5: p->budget = check_below(2) ? most : most ? most - 1 : 0; break;
    case 6: p->budget = check_below(2) ? ~(uint64_t)0 : (uint64_t)1 << 63; break;
    default: p->budget = least + (uint64_t)(check_uniform() * (double)(most - least)); break;
    }
}

static void random_problem(problem *p, uint32_t layers, uint32_t options, uint32_t costs, uint32_t losses)
{
    uint32_t l, i, n = 0;
    memset(p->first, 0, sizeof p->first);
    p->layers = layers;
    for (l = 0; l < layers; l++) {
        for (i = 1 + check_below(options); i > 0; i--, n++) {
            p->option[n].cost = random_cost(costs);
            p->option[n].loss = random_loss(losses, p->option[n].cost);
        }
        p->first[l + 1] = n;
    }
}

static void test_small(void)
{
    uint32_t i;
    for (i = 0; i < 10000; i++) {
        uint32_t costs = i % COSTS, losses = i / COSTS % LOSSES, budget = i / (COSTS * LOSSES) % BUDGETS;
        search s;
        check_seed(i);
        check_at("small %lu: costs %lu, losses %lu, budget %lu", (unsigned long)i, (unsigned long)costs,
                 (unsigned long)losses, (unsigned long)budget);
        random_problem(&small, 1 + check_below(8), 6, costs, losses);
        random_budget(&small, NULL, budget);
        s = search_all(&small, NULL);
        /* losses of one sign, or whole numbers: relative to the sum itself */
        compare(&small, NULL, &s, losses == 8 ? magnitude(&small) : check_abs(s.best));
    }
}

/* Whatever scale the losses and costs have, as long as they are what the header allows. */
static void test_extreme(void)
{
    static const double losses[] = { 0.0, 1e-300, 3e-300, 1e-200, 1e-9, 1.0, 1e9, 1e200, 1e240, -1e240, -1e-300, -1.0 };
    static const uint64_t costs[] = { 0, 1, 2, 3, 1000003, ((uint64_t)1 << 53) - 1, (uint64_t)1 << 53 };
    uint32_t i, k, n;
    for (i = 0; i < 3000; i++) {
        search s;
        check_seed(i + 100000);
        check_at("extreme %lu", (unsigned long)i);
        random_problem(&small, 1 + check_below(6), 5, 0, 0);
        n = small.first[small.layers];
        for (k = 0; k < n; k++) {
            small.option[k].cost = costs[check_below(COUNT(costs))];
            /* three of four: all of one scale, tiny, huge or both signs; else all of them */
            switch (i % 4) {
            case 0: small.option[k].loss = 1e-300 * (double)check_below(8); break;
            case 1: small.option[k].loss = 1e239 * (double)check_below(8); break;
            case 2: small.option[k].loss = 1e238 * ((double)check_below(9) - 4.0); break;
            default: small.option[k].loss = losses[check_below(COUNT(losses))]; break;
            }
        }
        random_budget(&small, NULL, i / 4 % BUDGETS);
        s = search_all(&small, NULL);
        compare(&small, NULL, &s, i % 4 < 2 ? check_abs(s.best) : magnitude(&small));
    }
}

/* ---- ties ------------------------------------------------------------------------------------ */

static void test_ties(void)
{
    static const uint32_t names[4] = { 0, 0xffffffffu, 7, 1000000 };
    uint32_t i, l, k, n;
    for (i = 0; i < 4000; i++) {
        uint32_t counts[4], groups = 1 + check_below(4);
        search s;
        check_seed(i + 200000);
        check_at("ties %lu", (unsigned long)i);
        for (k = 0; k < 4; k++) counts[k] = 1 + check_below(5);
        memset(small.first, 0, sizeof small.first);
        small.layers = 1 + check_below(10);
        for (n = 0, l = 0; l < small.layers; l++) {
            uint32_t g = check_below(groups);
            small.tie[l] = names[g];
            for (k = 0; k < counts[g]; k++, n++) {
                small.option[n].cost = random_cost(i % COSTS);
                small.option[n].loss = random_loss(i / COSTS % LOSSES, small.option[n].cost);
            }
            small.first[l + 1] = n;
        }
        random_budget(&small, small.tie, i / (COSTS * LOSSES) % BUDGETS);
        s = search_all(&small, small.tie);
        compare(&small, small.tie, &s, i / COSTS % LOSSES == 8 ? magnitude(&small) : check_abs(s.best));
        for (l = 0; l < small.layers; l++) small.tie[l] = 90 - l; /* each alone: as if there were none */
        if (i % 8 == 0) {
            s = search_all(&small, NULL);
            compare(&small, small.tie, &s, i / COSTS % LOSSES == 8 ? magnitude(&small) : check_abs(s.best));
        }
    }
}

/* ---- larger ones, with the optima of another solver ------------------------------------------ */

static uint32_t draw_seed, draw_counter;
static uint32_t draw(uint32_t n) { return (uint32_t)((uint64_t)llmq_random(draw_seed, draw_counter++) * n >> 32); }

/* As in tests/gen/allocate.py. */
static void drawn_problem(problem *p, uint32_t seed)
{
    uint32_t l, i, j = 0, kind = seed % 4;
    uint64_t least = 0, most = 0;
    draw_seed = seed, draw_counter = 0;
    p->layers = 10 + draw(51);
    p->first[0] = 0;
    for (l = 0; l < p->layers; l++) {
        uint32_t n = 3 + draw(10), size = 1 + draw(1000), weight = 1 + draw(1000), low = 0xffffffffu, high = 0;
        for (i = 0; i < n; i++, j++) {
            uint32_t cost, loss;
            if (kind == 0) cost = draw(10000001), loss = draw(1000001);
            else if (kind == 1)
                cost = size * (800 * (i + 1) + draw(100)), loss = weight * 4096 / ((i + 1) * (i + 1)) + draw(16);
            else if (kind == 2) cost = 1000 * draw(101), loss = draw(101);
            else cost = draw(10000001), loss = 10000000 - cost + draw(100001);
            p->option[j].cost = cost, p->option[j].loss = loss;
            if (cost < low) low = cost;
            if (cost > high) high = cost;
        }
        least += low, most += high;
        p->first[l + 1] = j;
    }
    p->budget = least + (most - least) * (1 + draw(254)) / 256;
}

static const uint32_t rooms[] = { 1, 2, 3, 10, 100 };

/* With less room than it takes: a choice that fits, a bound that holds, and no claim that is not
   true. Returns whether it is proven. */
static int limited(const problem *p, const uint32_t *tie, uint32_t states, double best, double scale)
{
    llmq_allocation r;
    CHECK_EQ(allocate_in(p, tie, states, &r, NULL), LLMQ_OK);
    CHECK(consistent(p, tie, &r));
    CHECK(r.states <= states);
    CHECK(r.loss >= best - 1e-12 * scale);
    CHECK(r.bound <= best + 1e-12 * scale);
    if (!same(r.bound, r.loss)) return 0;
    CHECK(near(r.loss, best, scale));
    return 1;
}

static void test_drawn(void)
{
    uint32_t i, k, proven[COUNT(rooms)] = { 0 };
    llmq_allocation r;
    for (i = 0; i < COUNT(allocate_optima); i++) {
        double best = allocate_optima[i].loss;
        drawn_problem(&large, allocate_optima[i].seed);
        check_at("drawn %lu", (unsigned long)allocate_optima[i].seed);
        CHECK_EQ(allocate_in(&large, NULL, 0, &r, NULL), LLMQ_OK);
        CHECK(consistent(&large, NULL, &r));
        CHECK(same(r.loss, best));
        CHECK(same(r.bound, r.loss));
        for (k = 0; k < COUNT(rooms); k++) proven[k] += (uint32_t)limited(&large, NULL, rooms[k], best, best);
        /* what it says it took is enough */
        CHECK(r.states == 0 || limited(&large, NULL, r.states, best, best) || r.states < 65536 / 8);
    }
    check_at("drawn, proven with little room");
    /* 52, 78, 140: the room is what limits */
    CHECK(proven[0] >= 50 && proven[3] >= 75 && proven[4] >= 135 && proven[4] < COUNT(allocate_optima));
}

static void test_limited(void)
{
    uint32_t i, k;
    for (i = 0; i < 3000; i++) {
        uint32_t losses = i / COSTS % LOSSES;
        const uint32_t *tie;
        search s;
        check_seed(i + 300000);
        check_at("limited %lu", (unsigned long)i);
        random_problem(&small, 1 + check_below(8), 6, i % COSTS, losses);
        random_budget(&small, NULL, i % 3 ? 7 : 1);
        tie = NULL;
        s = search_all(&small, tie);
        if (!s.found) continue;
        for (k = 0; k < COUNT(rooms); k++)
            limited(&small, tie, rooms[k], s.best, losses == 8 ? magnitude(&small) : check_abs(s.best));
    }
}

/* ---- what must not change anything ----------------------------------------------------------- */

static double loss_of(const problem *p)
{
    llmq_allocation r;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
    CHECK(consistent(p, NULL, &r) && same(r.bound, r.loss));
    return r.loss;
}

/* to = p with its layers and the options of each in another order. */
static void shuffle(problem *to, const problem *p)
{
    uint32_t order[LAYERS], l, i, k, n = 0;
    for (l = 0; l < p->layers; l++) order[l] = l;
    for (l = p->layers; l > 1; l--) {
        k = check_below(l);
        i = order[l - 1], order[l - 1] = order[k], order[k] = i;
    }
    to->layers = p->layers, to->budget = p->budget;
    to->first[0] = 0;
    for (l = 0; l < p->layers; l++) {
        uint32_t c = count_of(p, order[l]), turn = check_below(c);
        for (i = 0; i < c; i++) to->option[n++] = *at(p, order[l], (i + turn) % c);
        to->first[l + 1] = n;
    }
}

static void test_invariance(void)
{
    uint32_t i, k, n, l;
    for (i = 0; i < 300; i++) {
        double best, before, shift;
        uint64_t times;
        int e;
        check_seed(i + 400000);
        check_at("invariance %lu", (unsigned long)i);
        random_problem(&small, 12 + check_below(10), 8, 2 + 4 * (i % 2), i % 3 == 0 ? 7 : i % 3 == 1 ? 2 : 9);
        random_budget(&small, NULL, 7);
        n = small.first[small.layers];
        best = loss_of(&small);

        shuffle(&other, &small);
        CHECK(near(loss_of(&other), best, best));

        other = small;
        e = (int)check_below(1201) - 600;
        times = 1 + check_below(1000000);
        for (k = 0; k < n; k++)
            other.option[k].loss = small.option[k].loss * power(e), other.option[k].cost = small.option[k].cost * times;
        other.budget = small.budget * times + check_below((uint32_t)times);
        CHECK(near(loss_of(&other) * power(-e), best, best));

        other = small;
        l = check_below(small.layers);
        shift = 10.0 * (check_uniform() - 0.5);
        for (k = small.first[l]; k < small.first[l + 1]; k++) other.option[k].loss += shift;
        CHECK(near(loss_of(&other), best + shift, best + check_abs(shift)));

        other = small;
        before = best;
        for (k = 0; k < 8; k++) {
            double now;
            other.budget += check_below(3) ? 1 + check_below(200) : 1;
            now = loss_of(&other);
            CHECK(now <= before * (1.0 + 1e-13));
            before = now;
        }

        /* an option that is worse than another, or must not be taken, does not matter */
        other = small;
        for (k = n; k > 0; k--) other.option[2 * k - 2] = other.option[2 * k - 1] = other.option[k - 1];
        for (k = 0; k < n; k++)
            if (k % 3) other.option[2 * k].cost++, other.option[2 * k].loss += k % 3 - 1.0;
            else other.option[2 * k].cost = 0, other.option[2 * k].loss = HUGE_VAL;
        for (l = 0; l <= other.layers; l++) other.first[l] *= 2;
        CHECK(near(loss_of(&other), best, best));
    }
}

/* ---- errors ---------------------------------------------------------------------------------- */

static void simple_problem(problem *p, uint32_t layers, uint32_t options)
{
    uint32_t l, i;
    memset(p->first, 0, sizeof p->first);
    p->layers = layers;
    for (l = 0; l < layers; l++) {
        for (i = 0; i < options; i++) {
            p->option[l * options + i].cost = 10 * (i + 1);
            p->option[l * options + i].loss = (l + 1.0) / (i + 1.0);
        }
        p->first[l + 1] = (l + 1) * options;
    }
    p->budget = 20 * (uint64_t)layers;
}

/* The call fails with this and leaves all as it was; row and col, if it names them (row < 0: it does not). */
static void refuse(const problem *p, const uint32_t *tie, size_t less, llmq_status expected, int row, int col)
{
    size_t size = llmq_allocate_work_size(p->layers, p->first[p->layers], 1) - less;
    void *work = wall.start;
    llmq_allocation r, r0;
    llmq_error e, e0;
    memset(&r, 0xff, sizeof r), memset(&r0, 0xff, sizeof r0);
    memset(&e, 0x77, sizeof e), memset(&e0, 0x77, sizeof e0);
    memset(choice, 0xff, sizeof choice);
    CHECK_EQ(llmq_allocate(p->option, p->first, p->layers, tie, p->budget, choice, &r, work, size, &e), expected);
    CHECK(memcmp(&r, &r0, sizeof r) == 0);
    CHECK(choice[0] == 0xffffffffu && choice[p->layers - 1] == 0xffffffffu);
    if (row < 0) {
        CHECK(memcmp(&e, &e0, sizeof e) == 0);
    } else {
        CHECK_EQ(e.status, expected);
        CHECK_EQ((long)e.row, row);
        CHECK_EQ((long)e.col, col);
    }
    CHECK_EQ(llmq_allocate(p->option, p->first, p->layers, tie, p->budget, choice, &r, work, size, NULL), expected);
}

static void test_errors(void)
{
    problem *p = &small;
    llmq_allocation r;
    size_t size;
    uint32_t l;
    double zero = 0.0;
    check_at("errors");
    simple_problem(p, 5, 3);
    size = llmq_allocate_work_size(5, 15, 1);
    CHECK(size > 0 && llmq_allocate_work_size(5, 15, 2) - size == llmq_allocate_work_size(5, 15, 3)
          - llmq_allocate_work_size(5, 15, 2));
    CHECK(llmq_allocate_work_size(5, 15, 0) == llmq_allocate_work_size(5, 15, 65536));
    CHECK(llmq_allocate_work_size(6, 15, 1) > size && llmq_allocate_work_size(5, 16, 1) > size);
    CHECK_EQ(allocate_in(p, NULL, 1, &r, NULL), LLMQ_OK);

    CHECK_EQ(llmq_allocate(NULL, p->first, 5, NULL, 100, choice, &r, wall.start, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, NULL, 5, NULL, 100, choice, &r, wall.start, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, p->first, 0, NULL, 100, choice, &r, wall.start, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, p->first, 5, NULL, 100, NULL, &r, wall.start, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, p->first, 5, NULL, 100, choice, NULL, wall.start, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, p->first, 5, NULL, 100, choice, &r, NULL, size, NULL), LLMQ_E_ARG);
    for (l = 1; l < 8; l++)
        CHECK_EQ(llmq_allocate(p->option, p->first, 5, NULL, 100, choice, &r, wall.start + l, size, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_allocate(p->option, p->first, 0x01000000u, NULL, 100, choice, &r, wall.start, size, NULL),
             LLMQ_E_ARG);

    refuse(p, NULL, 1, LLMQ_E_WORKSPACE, -1, 0);
    refuse(p, NULL, size, LLMQ_E_WORKSPACE, -1, 0);
    p->first[0] = 1;
    refuse(p, NULL, 0, LLMQ_E_ARG, -1, 0);
    p->first[0] = 0;
    p->first[3] = p->first[2]; /* an empty layer */
    refuse(p, NULL, 0, LLMQ_E_ARG, -1, 0);
    p->first[3] = p->first[2] - 1;
    refuse(p, NULL, 0, LLMQ_E_ARG, -1, 0);
    simple_problem(p, 5, 3);
    for (l = 0; l < 5; l++) p->tie[l] = l / 2;
    CHECK_EQ(allocate_in(p, p->tie, 1, &r, NULL), LLMQ_OK);
    p->first[3] = 8; /* layers 2 and 3 are tied, with 2 and 4 options */
    refuse(p, p->tie, 0, LLMQ_E_ARG, -1, 0);
    CHECK_EQ(allocate_in(p, NULL, 1, &r, NULL), LLMQ_OK);

    simple_problem(p, 5, 3);
    p->option[7].loss = -HUGE_VAL;
    refuse(p, NULL, 0, LLMQ_E_NOT_FINITE, 2, 1);
    p->option[7].loss = zero / zero;
    refuse(p, NULL, 0, LLMQ_E_NOT_FINITE, 2, 1);
    p->option[7].loss = HUGE_VAL;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
    p->option[14].loss = 1.01e240;
    refuse(p, NULL, 0, LLMQ_E_LIMIT, 4, 2);
    p->option[14].loss = -1.01e240;
    refuse(p, NULL, 0, LLMQ_E_LIMIT, 4, 2);
    p->option[14].loss = 1.0;
    p->option[0].cost = ((uint64_t)1 << 53) + 1;
    refuse(p, NULL, 0, LLMQ_E_LIMIT, 0, 0);
    p->option[0].cost = (uint64_t)1 << 53;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);

    simple_problem(p, 1000, 2);
    for (l = 0; l < 1000; l++) p->option[2 * l + 1].cost = (uint64_t)1 << 53;
    refuse(p, NULL, 0, LLMQ_E_LIMIT, 513, 0);
    for (l = 512; l < 1000; l++) p->option[2 * l].cost = p->option[2 * l + 1].cost = 0;
    p->budget = ~(uint64_t)0;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
    CHECK(r.cost == (uint64_t)1 << 62);
    p->budget = ((uint64_t)1 << 62) - 1;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
    CHECK(r.cost == ((uint64_t)511 << 53) + 10);

    simple_problem(p, 5, 3);
    p->budget = 49; /* the least is 50, unless the least one of layer 3 must not be taken */
    memset(&r, 0xff, sizeof r);
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_E_LIMIT);
    CHECK(r.cost == 50 && choice[0] == 0xffffffffu && r.states == 0xffffffffu);
    p->option[9].loss = HUGE_VAL;
    p->budget = 59;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_E_LIMIT);
    CHECK(r.cost == 60);
    p->budget = 60;
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
    CHECK(r.cost == 60);
    for (l = 0; l < 3; l++) p->option[9 + l].loss = HUGE_VAL; /* nothing fits, whatever the budget */
    for (l = 0; l < 2; l++, p->budget = ~(uint64_t)0) {
        CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_E_LIMIT);
        CHECK(r.cost == ~(uint64_t)0 && choice[0] == 0xffffffffu);
    }
    /* tied layers of which each has something, but never at the same place */
    simple_problem(p, 2, 2);
    p->option[0].loss = p->option[3].loss = HUGE_VAL;
    p->tie[0] = p->tie[1] = 5;
    p->budget = ~(uint64_t)0;
    CHECK_EQ(allocate_in(p, p->tie, 0, &r, NULL), LLMQ_E_LIMIT);
    CHECK(r.cost == ~(uint64_t)0);
    CHECK_EQ(allocate_in(p, NULL, 0, &r, NULL), LLMQ_OK);
}

/* ---- the size of models ---------------------------------------------------------------------- */

/* layers of a model with thirty options each, in bytes: from 2 to 8 bits a weight with what scales take; the loss falls
   by about 4 a bit, on its own way for each layer. */
static void model_problem(problem *p, uint32_t layers, uint32_t seed, double bits)
{
    static const uint32_t shapes[7][2] = { { 4096, 4096 }, { 1024, 4096 }, { 1024, 4096 }, { 4096, 4096 },
                                           { 14336, 4096 }, { 14336, 4096 }, { 4096, 14336 } };
    uint32_t l, i, n = 0;
    uint64_t weights = 0;
    draw_seed = seed, draw_counter = 0;
    p->layers = layers;
    p->first[0] = 0;
    for (l = 0; l < layers; l++) {
        uint64_t size = (uint64_t)shapes[l % 7][0] * shapes[l % 7][1];
        double alpha = exp(6.0 * draw(1u << 30) / 1073741824.0) * 1e-3;
        for (i = 0; i < 30; i++, n++) {
            double width = 2.0 + 0.2 * i + 0.02 * draw(10);
            p->option[n].cost = (uint64_t)((double)size * width / 8.0) + draw(64);
            p->option[n].loss = alpha * pow(4.0, -width) * (0.8 + 0.4 * draw(1u << 30) / 1073741824.0);
        }
        p->first[l + 1] = n;
        weights += size;
    }
    p->budget = (uint64_t)((double)weights * bits / 8.0);
}

/* At a price: cost and loss of all minima. */
static double minima(const problem *p, double price, double *cost)
{
    double loss = 0.0;
    uint32_t l, i;
    for (*cost = 0.0, l = 0; l < p->layers; l++) {
        uint32_t b = 0;
        for (i = 1; i < count_of(p, l); i++)
            if (at(p, l, i)->loss + price * (double)at(p, l, i)->cost < at(p, l, b)->loss
                + price * (double)at(p, l, b)->cost)
                b = i;
        *cost += (double)at(p, l, b)->cost;
        loss += at(p, l, b)->loss;
    }
    return loss;
}

static void test_models(void)
{
    static const struct { uint32_t layers, seed; double bits; } models[] = { { 224, 1, 3.25 }, { 1000, 2, 4.5 } };
    uint32_t m, i, l;
    for (m = 0; m < COUNT(models); m++) {
        llmq_allocation r;
        double under = -HUGE_VAL, over = HUGE_VAL, cost, price = 1e-30, best;
        check_at("model of %lu layers", (unsigned long)models[m].layers);
        model_problem(&large, models[m].layers, models[m].seed, models[m].bits);
        CHECK_EQ(allocate_in(&large, NULL, 0, &r, NULL), LLMQ_OK);
        CHECK(consistent(&large, NULL, &r));
        CHECK(same(r.bound, r.loss));
        /* a bound from each price, and a choice from each that is high enough */
        for (i = 0; i < 1500; i++, price *= 1.04) {
            double loss = minima(&large, price, &cost), bound = loss + price * (cost - (double)large.budget);
            if (bound > under) under = bound;
            if (cost <= (double)large.budget && loss < over) over = loss;
        }
        CHECK(under <= r.loss * (1.0 + 1e-12));
        CHECK(r.loss <= over * (1.0 + 1e-12));
        CHECK(over < 1.01 * under && r.loss < 1.001 * under);
        /* nothing is gained by exchanging one layer */
        for (best = 0.0, l = 0; l < large.layers; l++)
            for (i = 0; i < count_of(&large, l); i++) {
                double gain = at(&large, l, choice[l])->loss - at(&large, l, i)->loss;
                if (at(&large, l, i)->cost + r.cost - at(&large, l, choice[l])->cost <= large.budget && gain > best)
                    best = gain;
            }
        CHECK(best <= 1e-13 * r.loss);
        CHECK(r.tried > 1 && r.tried < 100 && r.states > 1 && r.states < 4000);
        best = r.loss;
        for (i = 0; i < COUNT(rooms); i++) limited(&large, NULL, rooms[i], best, best);
    }
}

/* Small ones whose answer and whose work are known. */
static void test_known(void)
{
    static const llmq_option one[4] = { { 0, 10.0 }, { 5, 6.0 }, { 5, 5.0 }, { 5, 4.0 } };
    llmq_allocation r;
    uint32_t l, k;
    check_at("of equal costs only the best is a state");
    memcpy(small.option, one, sizeof one);
    small.layers = 1, small.budget = 3, small.first[0] = 0, small.first[1] = 4;
    CHECK_EQ(allocate_in(&small, NULL, 0, &r, NULL), LLMQ_OK);
    CHECK(choice[0] == 0 && same(r.loss, 10.0) && same(r.bound, 10.0) && r.tried == 1 && r.states == 2);
    small.budget = 5;
    CHECK_EQ(allocate_in(&small, NULL, 1, &r, NULL), LLMQ_OK);
    CHECK(choice[0] == 3 && same(r.loss, 4.0) && same(r.bound, 4.0) && r.tried == 0 && r.states == 0);

    check_at("what is left over is filled to the last unit");
    for (k = 0; k <= 12; k++) {
        simple_problem(&small, 12, 2);
        for (l = 0; l < 12; l++)
            small.option[2 * l].cost = 0, small.option[2 * l].loss = 10.0, small.option[2 * l + 1].cost = 10,
            small.option[2 * l + 1].loss = 0.0;
        small.budget = 10 * k;
        CHECK_EQ(allocate_in(&small, NULL, 1, &r, NULL), LLMQ_OK);
        CHECK(consistent(&small, NULL, &r) && r.cost == 10 * k && same(r.loss, 120.0 - 10.0 * k)
              && same(r.bound, r.loss));
    }

    check_at("sums of costs that differ by less than a double can");
    for (k = 0; k < 2; k++) {
        simple_problem(&large, 512, 2);
        for (l = 0; l < 1024; l++) large.option[l].cost = (uint64_t)1 << 53, large.option[l].loss = l % 2 ? 1.0 : 0.0;
        large.option[1].cost--;
        memset(large.tie, 0, sizeof large.tie);
        large.budget = ((uint64_t)1 << 62) - k;
        CHECK_EQ(allocate_in(&large, large.tie, 0, &r, NULL), LLMQ_OK);
        CHECK(consistent(&large, large.tie, &r) && choice[0] == k && same(r.bound, r.loss));
        large.budget = ((uint64_t)1 << 62) - 2;
        CHECK_EQ(allocate_in(&large, large.tie, 0, &r, NULL), LLMQ_E_LIMIT);
        CHECK(r.cost == ((uint64_t)1 << 62) - 1);
    }
}

/* Losses on a line: everything has r = 0 but for rounding, and no list has the room for that. It
   must come to an end all the same. */
static void test_line(void)
{
    static const uint32_t rooms_here[] = { 1, 7, 1000, 0 };
    uint32_t i, l, k, m, layers;
    for (layers = 10; layers <= 100; layers *= 10)
        for (m = 0; m < 3; m++) { /* slopes -1 (exact), -0.1, and costs that are multiples of 4096 */
            double all = 0.0;
            llmq_allocation r;
            check_at("line of %lu layers, %lu", (unsigned long)layers, (unsigned long)m);
            draw_seed = layers, draw_counter = 0;
            large.layers = layers, large.budget = 1234567, large.first[0] = 0;
            for (l = 0; l < layers; l++, all += m == 1 ? 1e7 : 1e8) {
                for (i = 0; i < 30; i++) {
                    uint32_t cost = m == 2 ? 4096 * draw(4096) : draw(1u << 24);
                    large.option[30 * l + i].cost = cost;
                    large.option[30 * l + i].loss = m == 1 ? 1e7 - 0.1 * cost : 1e8 - cost;
                    if (i == 0) large.budget += cost;
                }
                large.first[l + 1] = 30 * (l + 1);
            }
            all -= (m == 1 ? 0.1 : 1.0) * (double)large.budget; /* no choice is below */
            for (k = 0; k < COUNT(rooms_here); k++) {
                CHECK_EQ(allocate_in(&large, NULL, rooms_here[k], &r, NULL), LLMQ_OK);
                CHECK(consistent(&large, NULL, &r));
                CHECK(r.bound >= all * (1.0 - 1e-12) && r.loss <= all * 1.001);
            }
        }
}

/* ---- noise of a size, and slopes ------------------------------------------------------------- */

static void test_perturb(void)
{
    static float w[5000], v[5000], u[5000];
    const size_t lengths[] = { 1, 2, 7, 1000, 5000 };
    uint32_t i, k, seed, counter = 0;
    for (k = 0; k < 5; k++)
        for (seed = 1; seed <= 40; seed++) {
            const size_t n = lengths[k];
            const double t = seed % 4 ? 0.05 * seed / 2 : 1.0;
            double power, mean = 0, square, cube = 0;
            for (i = 0; i < n; i++) u[i] = w[i] = v[i] = (float)(int32_t)llmq_random(seed, counter++) * 1e-9f;
            check_at("noise on %zu numbers, seed %u", n, seed);
            CHECK_EQ(llmq_perturb(w, n, t, seed), LLMQ_OK);
            CHECK_EQ(llmq_perturb(v, n, t, seed), LLMQ_OK);
            CHECK(memcmp(w, v, n * sizeof *w) == 0);
            power = energy(u, n), square = error_energy(w, u, n);
            if (n < 1000) continue;
            /* a sum of n squares of N(0,1) is n +- sqrt(2 n): six of these; as wide for its mean
               and its third moment, sqrt(15 / n) */
            CHECK(fabs(square / power / (t * t) - 1) < 6 * sqrt(2.0 / (double)n));
            for (i = 0; i < n; i++) {
                const double e = ((double)w[i] - (double)u[i]) / (t * sqrt(power / (double)n));
                mean += e / (double)n, cube += e * e * e / (double)n;
            }
            CHECK(fabs(mean) < 6 / sqrt((double)n));
            CHECK(fabs(cube) < 6 * sqrt(15 / (double)n));
            CHECK_EQ(llmq_perturb(v, n, t, seed + 1), LLMQ_OK);
            CHECK(memcmp(w, v, n * sizeof *w) != 0);
        }
    check_at("noise of nothing, and errors");
    memcpy(w, u, sizeof w);
    CHECK_EQ(llmq_perturb(w, 5000, 0, 1), LLMQ_OK);
    CHECK_EQ(llmq_perturb(NULL, 10, 0.1, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_perturb(w, 0, 0.1, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_perturb(w, 10, -0.1, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_perturb(w, 10, 1.001, 1), LLMQ_E_ARG);
    CHECK_EQ(llmq_perturb(w, 10, (double)NAN, 1), LLMQ_E_ARG);
    CHECK(memcmp(w, u, sizeof w) == 0);
    w[3] = INFINITY;
    memcpy(v, w, sizeof v);
    CHECK_EQ(llmq_perturb(w, 10, 0.1, 1), LLMQ_E_NOT_FINITE);
    CHECK(memcmp(w, v, sizeof w) == 0);
}

static void test_slope(void)
{
    static const double x[5] = { 1, 2, 3, 4, 5 }, y[5] = { 2, 4, 6, 8, 10 }, z[5] = { 1, -1, 1, -1, 1 },
        none[5] = { 0, 0, 0, 0, 0 };
    double slope = 7, error = 7, bad[2] = { 1, 2 };
    check_at("slopes");
    CHECK_EQ(llmq_slope(x, y, 5, &slope, &error), LLMQ_OK);
    CHECK(slope == 2 && error == 0);
    CHECK_EQ(llmq_slope(x, z, 5, &slope, &error), LLMQ_OK); /* sum xy = 3, sum xx = 55; sum (y - s x)^2 = 5 - 9/55 */
    CHECK(fabs(slope - 3.0 / 55) < 1e-15 && fabs(error - sqrt((5 - 9.0 / 55) / 4 / 55)) < 1e-15);
    CHECK_EQ(llmq_slope(x + 2, z + 3, 1, &slope, &error), LLMQ_OK);
    CHECK(slope == -1.0 / 3 && error == 0);
    CHECK_EQ(llmq_slope(NULL, z, 5, &slope, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_slope(x, NULL, 5, &slope, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_slope(x, z, 0, &slope, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_slope(x, z, 5, NULL, &error), LLMQ_E_ARG);
    CHECK_EQ(llmq_slope(x, z, 5, &slope, NULL), LLMQ_E_ARG);
    CHECK_EQ(llmq_slope(none, z, 5, &slope, &error), LLMQ_E_ARG);
    bad[1] = (double)NAN;
    CHECK_EQ(llmq_slope(x, bad, 2, &slope, &error), LLMQ_E_NOT_FINITE);
    bad[1] = (double)INFINITY;
    CHECK_EQ(llmq_slope(bad, y, 2, &slope, &error), LLMQ_E_NOT_FINITE);
    CHECK(slope == -1.0 / 3 && error == 0);
}

int main(void)
{
    wall = check_wall_open((size_t)17 << 20);
    test_errors();
    test_small();
    test_extreme();
    test_ties();
    test_drawn();
    test_limited();
    test_invariance();
    test_models();
    test_line();
    test_known();
    test_perturb();
    test_slope();
    check_wall_close(&wall);
    return check_done("test_allocate");
}
