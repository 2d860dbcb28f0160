/* distortion: the relative MSE of every built-in grid, and its distance to the rate-distortion
   bound.

       distortion [rows]            rows of 1,024 weights (default 1,024: 2^20 weights)

   The source is N(0,1); then, with the Hadamard transform, sources that are not: Student-t with
   4 degrees of freedom, rows with a mean of one sigma, rows with one value of 20 sigma. One
   scale for each row of 1,024. With TSV=1 in the environment only lines key<TAB>value are
   printed. */
#define LLMQ_IMPLEMENTATION
#include "../llmq.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLS 1024

static uint32_t counter;

static double uniform(void) { return (llmq_random(42, counter++) + 0.5) / 4294967296.0; }
static double normal(void) { return sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()); }

enum { GAUSS, STUDENT, BIASED, SPIKE, SOURCES };
static const char *const source_name[SOURCES] = { "gauss", "student4", "mean1", "spike20" };

static void fill(int source, float *w)
{
    for (int j = 0; j < COLS; j++) {
        double x = normal();
        if (source == STUDENT) { /* t_4 has variance 2 */
            double a = normal(), b = normal(), c = normal(), d = normal();
            x /= sqrt((a * a + b * b + c * c + d * d) / 4);
        }
        w[j] = (float)(x + (source == BIASED));
    }
    if (source == SPIKE) w[(int)(uniform() * COLS)] = 20;
}

/* A ring of rows at a time, which formats other than trellises do not mind. */
static double relative_mse(const llmq_format *f, int source, int rows, double *seconds)
{
    static float w[LLMQ_TRELLIS_BLOCK * COLS], back[COLS];
    llmq_transform rotate = llmq_transform_hadamard(7, 0);
    llmq_tensor t;
    double error = 0, power = 0;
    uint32_t some = rows < (int)LLMQ_TRELLIS_BLOCK ? (uint32_t)rows : LLMQ_TRELLIS_BLOCK;
    size_t size = llmq_tensor_size(f, some, COLS), work_size;
    void *data = malloc(size), *work;
    if (llmq_tensor_init(&t, f, source == GAUSS ? NULL : &rotate, some, COLS, data, size)) exit(1);
    work = malloc(work_size = llmq_encode_work_size(&t));
    counter = 0;
    *seconds = 0;
    for (int first = 0; first < rows; first += (int)some) {
        for (uint32_t r = 0; r < some; r++) fill(source, w + r * COLS);
        clock_t start = clock();
        if (llmq_encode(&t, data, 0, some, w, COLS, NULL, work, work_size, NULL)) exit(1);
        *seconds += (double)(clock() - start) / CLOCKS_PER_SEC;
        for (uint32_t r = 0; r < some; r++) {
            if (llmq_tensor_decode(&t, r, back, NULL, 0)) exit(1);
            for (int j = 0; j < COLS; j++) {
                double x = w[r * COLS + (uint32_t)j];
                error += (x - back[j]) * (x - back[j]);
                power += x * x;
            }
        }
    }
    free(data);
    free(work);
    return error / power;
}

int main(int argc, char **argv)
{
    int rows = argc > 1 ? atoi(argv[1]) : 1024, tsv = getenv("TSV") && *getenv("TSV");
    llmq_format f;
    if (!tsv) {
        printf("Relative MSE, %d x %d weights, one bfloat16 scale for 1,024; dB above D(R) = 2^(-2R), R: bits of codes "
               "only\n\n", rows, COLS);
        printf("%-8s %7s %7s %10s %7s %10s %10s %10s %12s\n", "format", "bits", "bpw", "gauss", "dB", "student4",
               "mean1", "spike20", "M weights/s");
    }
    for (uint32_t i = 0; llmq_format_at(&f, i) == LLMQ_OK; i++) {
        double mse[SOURCES], seconds[SOURCES], rate = (double)f.bits / f.p, db;
        if (!f.points) continue;
        f.group = 1024;
        for (int s = 0; s < SOURCES; s++) mse[s] = relative_mse(&f, s, s ? (rows + 3) / 4 : rows, &seconds[s]);
        db = 10 * log10(mse[GAUSS] * pow(4, rate));
        if (tsv) {
            printf("distortion.%s.mse\t%.6g\ndistortion.%s.db\t%.3f\n", f.name, mse[GAUSS], f.name, db);
            for (int s = 1; s < SOURCES; s++) printf("distortion.%s.%s.mse\t%.6g\n", f.name, source_name[s], mse[s]);
        } else {
            printf("%-8s %7.3f %7.3f %10.6f %7.2f %10.6f %10.6f %10.6f %12.2f\n", f.name, rate,
                   8.0 * llmq_row_size(&f, COLS) / COLS, mse[GAUSS], db, mse[STUDENT], mse[BIASED], mse[SPIKE],
                   rows * COLS / seconds[GAUSS] / 1e6);
        }
        fflush(stdout);
    }
    return 0;
}
