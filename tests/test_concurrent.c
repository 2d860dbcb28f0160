/* test_concurrent.c - llmq_tensor_append while other threads multiply by the rows that are there
   (section 12 of llmq.h)

       gcc -O1 -g -fsanitize=thread -DLLMQ_SIMD=0 tests/test_concurrent.c -lm -lpthread
           a race is a report, and exit code 66
       the same with -DRELAXED
           publishes rows without release and acquire: the sanitizer has to see that
   Without a sanitizer the products are checked all the same: readers compare with those of a
   cache that was filled before. */
#include "check.h"
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include <pthread.h>

#ifdef RELAXED
#define RELEASE __ATOMIC_RELAXED
#define ACQUIRE __ATOMIC_RELAXED
#else
#define RELEASE __ATOMIC_RELEASE
#define ACQUIRE __ATOMIC_ACQUIRE
#endif

enum { ROWS = 300, COLS = 96, READERS = 3, MOST_FORMATS = 4 };

typedef struct cache {
    llmq_tensor t;            /* the writer's */
    llmq_tensor view;         /* a copy from before the first append, which readers copy */
    const llmq_activation *x;
    const float *w, *products, *decoded; /* weights; what products and rows have to be */
    uint8_t *data;
    size_t size;
    uint32_t published;
} cache;

typedef struct reader {
    cache *c;
    uint32_t number;
    unsigned long wrong, looks, seen; /* seen: times that rows had come since the look before */
} reader;

static void *read_rows(void *argument)
{
    reader *me = (reader *)argument;
    cache *c = me->c;
    float y[ROWS], row[COLS], work[COLS];
    uint32_t n, before = 0, r, from;
    do {
        llmq_tensor mine = c->view;
        n = __atomic_load_n(&c->published, ACQUIRE);
        mine.rows = n;
        me->looks++;
        me->seen += n > before;
        from = n > before ? before : (uint32_t)(me->looks * 7 % (n + 1)); /* what is new, or something old */
        before = n;
        if (n == 0) continue;
        me->wrong += llmq_matvec(&mine, c->x, from, n, y) != LLMQ_OK;
        for (r = from; r < n; r++) me->wrong += !same_floats(y + r, c->products + r, 1);
        r = n - 1 - me->number % n;
        me->wrong += llmq_tensor_decode(&mine, r, row, work, sizeof work) != LLMQ_OK;
        me->wrong += !same_floats(row, c->decoded + r * COLS, COLS);
    } while (n < ROWS);
    return NULL;
}

static void *append_rows(void *argument)
{
    cache *c = (cache *)argument;
    static float work[8192];
    uint32_t r;
    for (r = 0; r < ROWS; r++) {
        if (llmq_tensor_append(&c->t, c->data, c->size, c->w + r * COLS, NULL, work, sizeof work) != LLMQ_OK) break;
        __atomic_store_n(&c->published, c->t.rows, RELEASE);
    }
    /* so that readers end; the count below is wrong then */
    if (r < ROWS) __atomic_store_n(&c->published, (uint32_t)ROWS, RELEASE);
    return NULL;
}

static void test_format(const char *name)
{
    static float w[ROWS * COLS], products[ROWS], decoded[ROWS * COLS], work[8192], x[COLS], memory[4 * COLS];
    static uint8_t data[ROWS * COLS * 4], same[ROWS * COLS * 4];
    llmq_transform rotate = llmq_transform_hadamard(4, 0);
    llmq_format f;
    llmq_tensor whole;
    llmq_activation a;
    cache c;
    reader readers[READERS];
    pthread_t thread[READERS + 1];
    uint32_t i;
    check_at("%s", name);
    memset(&c, 0, sizeof c);
    memset(readers, 0, sizeof readers);
    normal_numbers(w, ROWS * COLS, 1.0, 0.0);
    normal_numbers(x, COLS, 1.0, 0.0);
    CHECK_EQ(llmq_format_find(&f, name, 32), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&whole, &f, &rotate, ROWS, COLS, same, sizeof same), LLMQ_OK);
    CHECK_EQ(llmq_encode(&whole, same, 0, ROWS, w, COLS, NULL, work, sizeof work, NULL), LLMQ_OK);
    CHECK_EQ(llmq_activation_prepare(&a, &whole, f.points ? 8 : 32, x, memory, sizeof memory), LLMQ_OK);
    CHECK_EQ(llmq_matvec(&whole, &a, 0, ROWS, products), LLMQ_OK);
    for (i = 0; i < ROWS; i++) CHECK_EQ(llmq_tensor_decode(&whole, i, decoded + i * COLS, work, sizeof work), LLMQ_OK);
    CHECK_EQ(llmq_tensor_init(&c.t, &f, &rotate, 0, COLS, data, sizeof data), LLMQ_OK);
    c.view = c.t, c.x = &a, c.w = w, c.products = products, c.decoded = decoded, c.data = data, c.size = sizeof data;
    for (i = 0; i < READERS; i++) {
        readers[i].c = &c, readers[i].number = i;
        if (!CHECK(pthread_create(&thread[i], NULL, read_rows, &readers[i]) == 0)) exit(1);
    }
    if (!CHECK(pthread_create(&thread[READERS], NULL, append_rows, &c) == 0)) exit(1);
    for (i = 0; i <= READERS; i++) CHECK_EQ(pthread_join(thread[i], NULL), 0);
    CHECK_EQ(c.t.rows, ROWS);
    CHECK(memcmp(data, same, ROWS * whole.row_size) == 0);
    for (i = 0; i < READERS; i++) CHECK(readers[i].wrong == 0 && readers[i].seen > 0);
}

int main(void)
{
    static const char *const names[MOST_FORMATS] = { "g4", "v2n64", "u8", "f32" };
    uint32_t i;
    check_faults_from();
    for (i = 0; i < MOST_FORMATS; i++) test_format(names[i]);
    check_fault("L17");
    return check_done("test_concurrent");
}
