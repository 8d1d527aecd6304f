// Arguments, environment, signal handlers on a stack of their own, a jump out of one, children, pipes, and what runs at
// the end.
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile sig_atomic_t alarms, on_own_stack;
static volatile int *volatile nowhere = (volatile int *)0x10;
static char own_stack[65536];

static void on_alarm(int number) {
    char here;
    alarms += number == SIGALRM;
    on_own_stack = &here >= own_stack && &here < own_stack + sizeof own_stack;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)number, (void)context;
    siglongjmp(back, info->si_addr == (void *)0x10 ? 1 : 2);
}

static void at_end(void) { printf("at the end\n"); }

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++)
        printf("argument %d: <%s>\n", i, argv[i]);
    setenv("ADDED", "yes", 1);
    if (getenv("CHILD") != NULL) {
        printf("a child, given %s\n", getenv("GIVEN"));
        return 5;
    }
    printf("%s %s %s\n", getenv("GIVEN"), getenv("ADDED"), getenv("ABSENT") ? "?" : "absent");
    atexit(at_end);

    sigaltstack(&(stack_t){.ss_sp = own_stack, .ss_size = sizeof own_stack}, NULL);
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_ONSTACK | SA_RESTART}, NULL);
    sigset_t mask, old;
    sigemptyset(&mask);
    sigaddset(&mask, SIGALRM);
    sigprocmask(SIG_BLOCK, &mask, &old);
    ualarm(1000, 0);
    while (!alarms)
        sigsuspend(&old);
    printf("%d alarm, on %s\n", (int)alarms, on_own_stack ? "a stack of its own" : "the program's stack");

    sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, NULL);
    int came = sigsetjmp(back, 1);
    if (came == 0)
        *nowhere = 1;
    printf("back from a fault, %s\n", came == 1 ? "which had the right address" : "which had another address");

    // A child that becomes this program again and writes into a pipe; one that dies of a signal; one that ends at once.
    int ends[2];
    if (pipe(ends) != 0)
        return 1;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execle(argv[0], argv[0], "as", "a child", (char *)NULL, (char *[]){"GIVEN=its own", "CHILD=yes", NULL});
        _exit(99);
    }
    close(ends[1]);
    char text[1000];
    FILE *from = fdopen(ends[0], "r");
    while (fgets(text, sizeof text, from) != NULL)
        printf("from the pipe: %s", text);
    int status = 0;
    waitpid(child, &status, 0);
    printf("the child's code is %d\n", WEXITSTATUS(status));
    if ((child = fork()) == 0)
        abort();
    waitpid(child, &status, 0);
    printf("ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    printf("system() returns %d\n", WEXITSTATUS(system("echo from a shell; exit 6")));
    return 9;
}
