/* SPDX-License-Identifier: Apache-2.0 */
/*
 * basicauth: user names and passwords. With `htpasswd` it tells receivers whom to let in
 * (basic_door.c), with `client_auth` it gives exporters what to show.
 *
 * Files are read again when they change; what cannot be used changes nothing.
 * Threads: files are main's, doors and signers are their workers', hashes are compared on a thread.
 */
#include "extensions/basicauth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "extensions/extensions.h"
#include "net/grpc.h"

static const struct key htpasswd_keys[] = {
    KEY_STR(struct basic_htpasswd, file, "", "File of user:hash lines; read again when it changes."),
    {.name = "inline", .type = KEY_T_SECRET, .offset = KEY_AT(const char *, struct basic_htpasswd, inline_), .dflt = "",
     KEY_ANY, .doc = "The same lines here; they win over the file's."},
    KEY_END,
};

static const struct key client_keys[] = {
    KEY_STR(struct basic_client, username, "", "User name to show."),
    KEY_SECRET(struct basic_client, password, "", "Password to show."),
    KEY_STR(struct basic_client, username_file, "",
            "File with the user name; wins over username, read again when it changes."),
    KEY_STR(struct basic_client, password_file, "",
            "File with the password; wins over password, read again when it changes."),
    KEY_NOT_YET("aws_secrets_manager", "Takes the credentials from AWS."),
    KEY_END,
};

static const struct key basic_keys[] = {
    KEY_OPTIONAL(struct basic_settings, htpasswd, SECTION_OFF, htpasswd_keys,
                 "Users that may come in: bcrypt, MD5 ($apr1$, $1$), SHA-2 crypt ($5$, $6$), {SHA}, {SSHA}, plaintext."),
    KEY_OPTIONAL(struct basic_settings, client_auth, SECTION_OFF, client_keys, "What exporters show."),
    KEY_END,
};

static bool is_file(const char *s)
{
    return s[0] != '\0';
}

/* ---- users ---- */

static void users_free(struct boxed *base)
{
    struct basic_users *u = CONTAINER_OF(base, struct basic_users, base);

    htpasswd_free(&u->h);
    free(u);
}

static int load_users(struct basic *b, struct err *err)
{
    const struct basic_htpasswd *s = &b->set->htpasswd;
    char *file = is_file(s->file) ? secret_read(s->file, err) : mem_dup(""), *both;
    struct basic_users *u;
    struct htpasswd *h;
    unsigned line;

    if (!file)
        return -1;
    both = mem_printf("%s\n%s", file, s->inline_);
    h = htpasswd_parse(both, err);
    secret_free(&file);
    secret_free(&both);
    if (!h)
        return err_wrap(err, "htpasswd");
    if (htpasswd_left_out(h, &line))
        log_warn(&b->base.host->log, "Lines of htpasswd are not user:hash and were left out", LOG_UINT("first", line),
                 LOG_UINT("lines", htpasswd_left_out(h, &line)));
    u = mem_alloc(sizeof(*u));
    u->h = h;
    box_put(&b->box, &u->base, users_free);
    return 0;
}

/* ---- client ---- */

static void header_free(struct boxed *base)
{
    struct basic_header *h = CONTAINER_OF(base, struct basic_header, base);

    secret_free(&h->value);
    free(h);
}

static int load_header(struct basic *b, struct err *err)
{
    const struct basic_client *s = &b->set->client_auth;
    char *user = is_file(s->username_file) ? secret_read(s->username_file, err) : mem_dup(s->username);
    char *password = !user                     ? NULL
                     : is_file(s->password_file) ? secret_read(s->password_file, err)
                                                 : mem_dup(s->password);
    struct buf text = {0};
    struct basic_header *h;
    char *both;

    if (!password) {
        free(user);
        return -1;
    }
    both = mem_printf("%s:%s", user, password);
    buf_puts(&text, "Basic ");
    base64_encode(&text, slice_str(both));
    while ((text.len - 6) % 4)
        buf_putc(&text, '=');
    buf_putc(&text, '\0');
    h = mem_alloc(sizeof(*h));
    h->value = mem_dup((const char *)text.p);
    explicit_bzero(text.p, text.cap);
    buf_free(&text);
    secret_free(&both);
    secret_free(&password);
    free(user);
    box_put(&b->box, &h->base, header_free);
    return 0;
}

struct basic_signer {
    struct auth_signer base;
    struct basic *b;
    struct box_view view;
};

static bool needs_tls(const struct component *c)
{
    (void)c;
    return true;
}

static struct auth_signer *signer_open(struct component *c, struct host *user)
{
    struct basic_signer *s = mem_alloc(sizeof(*s));

    (void)user;
    s->base.ops = c->type->auth_client;
    s->b = basic_of(c);
    return &s->base;
}

static void signer_close(struct auth_signer **sp)
{
    struct basic_signer *s = CONTAINER_OF(*sp, struct basic_signer, base);

    *sp = NULL;
    box_view_close(&s->view);
    free(s);
}

static enum auth_verdict sign(struct auth_signer *base, const struct request_info *info, struct auth_fields *f,
                              struct auth_wait *w, struct err *err)
{
    struct basic_signer *s = CONTAINER_OF(base, struct basic_signer, base);

    (void)info;
    (void)w;
    (void)err;
    box_look(&s->b->box, &s->view);
    auth_fields_set(f, "Authorization", CONTAINER_OF(s->view.seen, struct basic_header, base)->value);
    return AUTH_OK;
}

static void cancel(struct auth_signer *s, struct auth_wait *w)
{
    (void)s;
    (void)w;
}

static const struct auth_client_ops client_ops = {
    .needs_tls = needs_tls, .open = signer_open, .close = signer_close, .sign = sign, .cancel = cancel};

/* ---- life ---- */

static void basic_check(const void *settings, struct check *c)
{
    const struct basic_settings *s = settings;

    if (s->htpasswd_enabled && s->client_auth_enabled)
        check_error(c, "client_auth", "only one of `htpasswd` or `client_auth` can be specified");
    if (!s->htpasswd_enabled && !s->client_auth_enabled)
        check_error(c, "", "no credential source provided");
    if (s->htpasswd_enabled && !is_file(s->htpasswd.file) && !s->htpasswd.inline_[0])
        check_error(c, "htpasswd", "no credential source provided");
    if (s->client_auth_enabled && !s->client_auth.username[0] && !is_file(s->client_auth.username_file))
        check_error(c, "client_auth", "there is no user name");
    if (s->client_auth_enabled && strchr(s->client_auth.username, ':'))
        check_error(c, "client_auth.username", "a user name has no colon");
}

static unsigned basic_provides(const void *settings)
{
    const struct basic_settings *s = settings;

    return (s->htpasswd_enabled ? EXT_AUTH_SERVER : 0) | (s->client_auth_enabled ? EXT_AUTH_CLIENT : 0);
}

static size_t basic_memory(const void *settings, unsigned n_workers, struct memory_term *terms, size_t max)
{
    const struct basic_settings *s = settings;
    enum { ENTRY = 256 };

    if (max < 1 || !s->htpasswd_enabled)
        return 0;
    terms[0].bytes = (uint64_t)n_workers * (BASIC_GOOD + BASIC_BAD) * ENTRY;
    snprintf(terms[0].text, sizeof(terms[0].text),
             "%u workers x %u credentials x %d bytes for each port that uses it", n_workers, BASIC_GOOD + BASIC_BAD, ENTRY);
    return 1;
}

static struct component *basic_create(struct host *host, const void *settings, struct err *err)
{
    struct basic *b = mem_alloc(sizeof(*b));

    (void)err;
    *b = (struct basic){.base = {&basicauth_extension_type, host}, .set = settings};
    box_init(&b->box);
    if (b->set->htpasswd_enabled)
        b->thread = auth_thread_new(BASIC_MAX_JOBS);
    return &b->base;
}

static int load(struct basic *b, struct err *err)
{
    return b->set->htpasswd_enabled ? load_users(b, err) : load_header(b, err);
}

static void on_file(void *ctx)
{
    struct basic *b = ctx;
    struct err err = {""};

    if (load(b, &err) == 0)
        log_info(&b->base.host->log, "Credentials read again");
    else
        log_warn(&b->base.host->log, "The file with credentials cannot be used, those in force stay",
                 LOG_STR("error", err.text));
}

static int basic_start(struct component *c, struct err *err)
{
    struct basic *b = basic_of(c);
    const struct basic_settings *s = b->set;
    const char *files[2] = {s->htpasswd_enabled ? s->htpasswd.file : s->client_auth.username_file,
                            s->htpasswd_enabled ? "" : s->client_auth.password_file};

    if (load(b, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (is_file(files[i]))
            b->files[i] = secret_watch(c->host->loop, files[i], on_file, b);
    return 0;
}

static void basic_drain(struct component *c)
{
    host_drained(c->host);
}

static void basic_destroy(struct component **cp)
{
    struct basic *b = basic_of(*cp);

    *cp = NULL;
    for (size_t i = 0; i < ARRAY_LEN(b->files); i++)
        secret_unwatch(&b->files[i]);
    auth_thread_free(&b->thread);
    box_close(&b->box);
    free(b);
}

const struct component_type basicauth_extension_type = {
    .kind = EXTENSION,
    .name = "basicauth",
    .stability = "beta",
    .summary = "User names and passwords: asked for by receivers, sent by exporters.",
    .keys = basic_keys,
    .settings_size = sizeof(struct basic_settings),
    .check = basic_check,
    .memory = basic_memory,
    .create = basic_create,
    .start = basic_start,
    .drain = basic_drain,
    .destroy = basic_destroy,
    .auth_server = &basic_server_ops,
    .auth_client = &client_ops,
    .provides = basic_provides,
};
