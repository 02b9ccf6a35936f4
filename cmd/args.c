/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: flags of the Collector plus a few of our own. A flag is --name VALUE or
 * --name=VALUE, before or after the command. generate and demo read what follows them themselves.
 */
#include "cmd/args.h"

#include <stdlib.h>
#include <string.h>

#include "config/scalar.h"
#include "platform/mem.h"

const char args_help[] =
    "tailrace: an OpenTelemetry Collector for traces.\n"
    "\n"
    "Usage:\n"
    "  tailrace --config FILE [flags]     runs until SIGINT or SIGTERM\n"
    "  tailrace COMMAND [flags]\n"
    "\n"
    "Commands:\n"
    "  run            the same as no command\n"
    "  validate       reads and checks the configuration exactly as a start does; prints what "
    "memory it can take\n"
    "  print-config   the configuration in effect, defaults included\n"
    "  components     the receivers, processors, exporters, connectors and extensions there are\n"
    "  reference      docs/configuration.md: every key with type, default, range and meaning\n"
    "  featuregate    the feature gates that change something here\n"
    "  redact-check   runs the redaction processors over spans from a file; prints what each rule "
    "hits and what still looks like a secret\n"
    "  explain        why a trace was kept, or not: explain TRACE_ID asks a running daemon\n"
    "  generate       sends realistic traces to an OTLP endpoint (generate --help)\n"
    "  demo           the whole job on built-in defaults, with made-up traffic (demo --help)\n"
    "  help           this text\n"
    "\n"
    "Flags:\n"
    "  --config URI            a file, file:PATH, env:NAME or yaml:TEXT; repeat to merge several\n"
    "  --set KEY.PATH=VALUE    one more value on top, such as processors.batch.timeout=2s; may be "
    "repeated\n"
    "  --workers N             threads (default: the CPUs that the cgroup quota and affinity "
    "allow)\n"
    "  --shutdown-timeout T    how long a stop may take, such as 30s (the default)\n"
    "  --watch                 reload when a file given with --config changes (SIGHUP always reloads;\n"
    "                          SIGUSR2 starts a successor on the same sockets)\n"
    "  --feature-gates LIST    +ID turns a gate on, -ID off; see featuregate\n"
    "  --mode MODE             print-config: redacted (default) or unredacted\n"
    "  --format FORMAT         print-config: yaml (default) or json\n"
    "  --validate=BOOL         print-config: whether a faulty configuration is an error (default "
    "true)\n"
    "  --input FILE            redact-check: OTLP as JSON or protobuf (default: standard input)\n"
    "  --admin HOST:PORT       explain: where /metrics is (default 127.0.0.1:8888)\n"
    "  -h, --help              this text\n"
    "  -v, --version           the version\n"
    "\n"
    "Exit status: 0 after a clean stop or when all is well, 1 otherwise.\n";

/* ---- values ---- */

static int add(const char ***list, size_t *n, const char *value)
{
    *list = mem_grow(*list, (*n + 1) * sizeof(**list));
    (*list)[(*n)++] = value;
    return 0;
}

static int take_config(struct args *a, const char *v, struct err *err)
{
    (void)err;
    return add((const char ***)&a->config.uris, &a->config.n_uris, v);
}

static int take_set(struct args *a, const char *v, struct err *err)
{
    if (!strchr(v, '='))
        return err_set(err, "invalid argument \"%s\" for \"--set\" flag: missing equal sign", v);
    return add((const char ***)&a->config.sets, &a->config.n_sets, v);
}

static int take_gates(struct args *a, const char *v, struct err *err)
{
    (void)err;
    return add(&a->gates, &a->n_gates, v);
}

static int take_workers(struct args *a, const char *v, struct err *err)
{
    char *end;
    long n = strtol(v, &end, 10);
    if (!*v || *end || n < 1 || n > 256)
        return err_set(err, "invalid argument \"%s\" for \"--workers\" flag: 1 to 256", v);
    a->workers = (unsigned)n;
    return 0;
}

static int take_timeout(struct args *a, const char *v, struct err *err)
{
    int64_t ns;
    const char *why;
    if (duration_parse(v, &ns, &why))
        return err_set(err, "invalid argument \"%s\" for \"--shutdown-timeout\" flag: %s", v, why);
    if (ns < 1000000)
        return err_set(err, "invalid argument \"%s\" for \"--shutdown-timeout\" flag: at least 1ms",
                       v);
    a->shutdown_timeout_ms = (uint64_t)ns / 1000000;
    return 0;
}

static int take_watch(struct args *a, const char *v, struct err *err)
{
    a->watch = strcmp(v, "true") == 0;
    if (!a->watch && strcmp(v, "false") != 0)
        return err_set(err, "invalid argument \"%s\" for \"--watch\" flag: true or false", v);
    return 0;
}

static int take_mode(struct args *a, const char *v, struct err *err)
{
    a->unredacted = strcmp(v, "unredacted") == 0;
    if (!a->unredacted && strcmp(v, "redacted") != 0)
        return err_set(err, "invalid mode \"%s\": modes are: redacted, unredacted", v);
    return 0;
}

static int take_format(struct args *a, const char *v, struct err *err)
{
    a->json = strcmp(v, "json") == 0;
    if (!a->json && strcmp(v, "yaml") != 0)
        return err_set(err, "invalid format \"%s\": formats are: yaml, json", v);
    return 0;
}

static int take_admin(struct args *a, const char *v, struct err *err)
{
    (void)err;
    a->admin = v;
    return 0;
}

static int take_input(struct args *a, const char *v, struct err *err)
{
    (void)err;
    a->input = v;
    return 0;
}

static int take_validate(struct args *a, const char *v, struct err *err)
{
    a->keep_faulty = strcmp(v, "false") == 0;
    if (!a->keep_faulty && strcmp(v, "true") != 0)
        return err_set(err, "invalid argument \"%s\" for \"--validate\" flag: true or false", v);
    return 0;
}

static int take_help(struct args *a, const char *v, struct err *err)
{
    (void)v;
    (void)err;
    a->command = CMD_HELP;
    return 0;
}

static int take_version(struct args *a, const char *v, struct err *err)
{
    (void)v;
    (void)err;
    a->command = CMD_VERSION;
    return 0;
}

#define WITH_CONFIG  (CMD_RUN | CMD_VALIDATE | CMD_PRINT_CONFIG | CMD_REDACT_CHECK)
#define ALL_COMMANDS 0xffff

static const struct flag {
    const char *name, *letter;
    int (*take)(struct args *a, const char *value, struct err *err);
    unsigned commands;      /* that know it */
    const char *when_alone; /* the value of the flag without one; NULL: it needs one */
} flags[] = {
    {"config", "", take_config, WITH_CONFIG, NULL},
    {"set", "", take_set, WITH_CONFIG, NULL},
    {"feature-gates", "", take_gates, WITH_CONFIG | CMD_COMPONENTS | CMD_FEATUREGATE, NULL},
    {"workers", "", take_workers, CMD_RUN | CMD_VALIDATE, NULL},
    {"shutdown-timeout", "", take_timeout, CMD_RUN | CMD_VALIDATE, NULL},
    {"watch", "", take_watch, CMD_RUN | CMD_VALIDATE, "true"},
    {"mode", "", take_mode, CMD_PRINT_CONFIG, NULL},
    {"format", "", take_format, CMD_PRINT_CONFIG, NULL},
    {"validate", "", take_validate, CMD_PRINT_CONFIG, "true"},
    {"input", "", take_input, CMD_REDACT_CHECK, NULL},
    {"admin", "", take_admin, CMD_EXPLAIN, NULL},
    {"help", "h", take_help, ALL_COMMANDS, ""},
    {"version", "v", take_version, ALL_COMMANDS, ""},
};

static const struct {
    const char *name;
    enum command command;
} commands[] = {
    {"run", CMD_RUN},
    {"validate", CMD_VALIDATE},
    {"components", CMD_COMPONENTS},
    {"print-config", CMD_PRINT_CONFIG},
    {"print-initial-config", CMD_PRINT_CONFIG},
    {"reference", CMD_REFERENCE},
    {"featuregate", CMD_FEATUREGATE},
    {"redact-check", CMD_REDACT_CHECK},
    {"explain", CMD_EXPLAIN},
    {"generate", CMD_GENERATE},
    {"demo", CMD_DEMO},
    {"help", CMD_HELP},
};

/* ---- words ---- */

static const struct flag *find_flag(const char *arg, size_t len, unsigned command)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        const struct flag *f = &flags[i];
        bool is = arg[1] == '-'
                      ? strlen(f->name) == len - 2 && memcmp(f->name, arg + 2, len - 2) == 0
                      : f->letter[0] && len == 2 && arg[1] == f->letter[0];
        if (is && (f->commands & command))
            return f;
    }
    return NULL;
}

static bool needs_value(const char *arg)
{
    const struct flag *f = find_flag(arg, strlen(arg), ALL_COMMANDS);
    return f && !f->when_alone;
}

/* The command, which may stand after flags. Its index, 0 when there is none, -1 when unknown. */
static int find_command(struct args *a, int argc, char **argv, struct err *err)
{
    a->command = CMD_RUN;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            i += needs_value(argv[i]);
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(commands); k++)
            if (strcmp(argv[i], commands[k].name) == 0) {
                a->command = commands[k].command;
                return i;
            }
        return err_set(err,
                       "unknown command \"%s\" for \"tailrace\"\nRun 'tailrace --help' for usage.",
                       argv[i]);
    }
    return 0;
}

static int take_flag(struct args *a, int argc, char **argv, int *i, enum command command,
                     struct err *err)
{
    const char *arg = argv[*i], *eq = strchr(arg, '=');
    size_t len = eq ? (size_t)(eq - arg) : strlen(arg);
    const struct flag *f = find_flag(arg, len, command);
    if (!f)
        return err_set(err, "unknown flag: %.*s", (int)len, arg);
    if (eq)
        return f->take(a, eq + 1, err);
    if (f->when_alone)
        return f->take(a, f->when_alone, err);
    if (*i + 1 >= argc)
        return err_set(err, "flag needs an argument: %s", arg);
    return f->take(a, argv[++*i], err);
}

int args_parse(struct args *a, int argc, char **argv, struct err *err)
{
    *a = (struct args){0};
    int at = find_command(a, argc, argv, err);
    enum command command = a->command;
    if (at < 0)
        return -1;
    a->rest = at + 1;
    for (int i = 1; i < argc; i++) {
        if (i == at && (command == CMD_GENERATE || command == CMD_DEMO || command == CMD_HELP))
            break;
        if (i == at)
            continue;
        if (argv[i][0] == '-' && argv[i][1]) {
            if (take_flag(a, argc, argv, &i, command, err))
                return -1;
        } else if ((command & (CMD_FEATUREGATE | CMD_EXPLAIN)) && !a->operand) {
            a->operand = argv[i];
        } else {
            return err_set(err, "unexpected argument \"%s\"", argv[i]);
        }
    }
    return 0;
}

void args_free(struct args *a)
{
    free((void *)a->config.uris);
    free((void *)a->config.sets);
    free((void *)a->gates);
}
