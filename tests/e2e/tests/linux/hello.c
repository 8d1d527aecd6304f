// What a C program of the most ordinary kind asks of a kernel: the C library's start, printf of numbers of all kinds,
// memory in small and large pieces, a variable for each thread, files and time.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static __thread int counter = 41;
static int in_data = 7, in_bss[1000];

static int by_number(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(void) {
    printf("hello, %s: %d %+ld 0x%08x %c %5.2f %e %g\n", "world", -42, 1L << 40, 0xbeefu, 'x', 3.14159, 1e-300, 0.1 + 0.2);
    printf("sqrt 2 is %.15f, e is %.15f, 0/0 is %s\n", sqrt(2.0), exp(1.0), isnan(0.0 / (in_bss[3] * 1.0)) ? "no number" : "?");
    counter += in_data - 6;
    printf("the thread's variable is %d\n", counter);

    char *pieces[200];
    unsigned long sum = 0;
    for (int i = 0; i < 200; i++) {
        size_t size = (size_t)i * i * 7 + 1; // up to 279 KB: from the heap, and from mappings of their own
        pieces[i] = malloc(size);
        memset(pieces[i], i, size);
    }
    for (int i = 0; i < 200; i += 2)
        free(pieces[i]);
    for (int i = 1; i < 200; i += 2) {
        pieces[i] = realloc(pieces[i], (size_t)i * i * 7 + 5000);
        sum = sum * 31 + (unsigned char)pieces[i][i * i * 7];
        free(pieces[i]);
    }
    printf("the pieces' sum is %lu\n", sum);

    double numbers[500];
    srand(1);
    for (int i = 0; i < 500; i++)
        numbers[i] = rand() / 1000.0;
    qsort(numbers, 500, sizeof numbers[0], by_number);
    printf("the least is %.3f, the one in the middle %.3f\n", numbers[0], numbers[250]);

    FILE *file = tmpfile();
    fprintf(file, "%d %s\n", 12345, "in a file");
    rewind(file);
    int number = 0;
    char word[20] = "";
    int read = fscanf(file, "%d %19s", &number, word);
    fclose(file);
    printf("%d read: %d %s\n", read, number, word);

    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long slept = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec;
    printf("slept %s\n", slept >= 2000000 ? "long enough" : "too short");
    struct tm date;
    time_t leap = 951827696;
    char text[40];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", gmtime_r(&leap, &date));
    printf("%s\n", text);

    // Calls that no kernel has, twice: they are refused, and nothing else happens.
    for (int i = 0; i < 2; i++) {
        long result = syscall(1470);
        printf("no such call: %ld %s\n", result, errno == ENOSYS ? "ENOSYS" : strerror(errno));
    }
    return 3;
}
