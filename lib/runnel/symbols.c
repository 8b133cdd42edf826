/* Names for addresses: what is mapped (/proc/self/maps), and the symbol table of each file.
 *
 * We read the files ourselves. dladdr() knows exported names only, takes the loader's lock, which a
 * hanging program may hold, and gives static functions the name of some neighbour. .symtab is asked
 * first, .dynsym where a file is stripped.
 *
 * A cache by address answers what has been asked before. All of it is for those who watch; its lock
 * is never taken by a worker that doesn't ask.
 */
#include "symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

#include <base/cleanup.h>

#define CODES_MAX 128
#define CACHE_SIZE (1u << 14) /* addresses; more are looked up each time */

static struct {
    pthread_mutex_t lock;
    struct rn__code codes[CODES_MAX];
    size_t n_codes;
    struct cached {
        uintptr_t pc;
        struct rn_symbol symbol;
    } * cache;
    size_t n_cached;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- memory ---------------------------------------------------------------------------------- */

static void *table_map(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

void *rn__table_grow(void *table, size_t item, size_t n, size_t *max)
{
    size_t wider = *max ? 2 * *max : 1024;
    void *p;

    if (n < *max)
        return table;
    p = table ? mremap(table, *max * item, wider * item, MREMAP_MAYMOVE) : table_map(wider * item);
    if (!p || p == MAP_FAILED)
        return NULL;
    *max = wider;
    return p;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool within(const struct rn__code *c, uint64_t offset, uint64_t bytes)
{
    return offset <= c->size && bytes <= c->size - offset;
}

static const ElfW(Shdr) * section_at(const struct rn__code *c, size_t i)
{
    const ElfW(Ehdr) *e = (const void *)c->image;

    if (i >= e->e_shnum || e->e_shentsize != sizeof(ElfW(Shdr)) ||
        !within(c, e->e_shoff, (uint64_t)e->e_shnum * e->e_shentsize))
        return NULL;
    return (const ElfW(Shdr) *)(const void *)(c->image + e->e_shoff) + i;
}

/* The text at `offset` of a section of texts; "" when it doesn't end there. */
static const char *text_at(const struct rn__code *c, const ElfW(Shdr) * texts, uint64_t offset)
{
    const char *text;

    if (!texts || !within(c, texts->sh_offset, texts->sh_size) || offset >= texts->sh_size)
        return "";
    text = (const char *)c->image + texts->sh_offset + offset;
    return memchr(text, 0, texts->sh_size - offset) ? text : "";
}

const uint8_t *rn__code_section(const struct rn__code *c, const char *name, size_t *ret_size)
{
    const ElfW(Ehdr) *e = (const void *)c->image;
    const ElfW(Shdr) * s;

    for (size_t i = 0; c->image && (s = section_at(c, i)); i++) {
        if (strcmp(text_at(c, section_at(c, e->e_shstrndx), s->sh_name), name) != 0)
            continue;
        if (s->sh_type == SHT_NOBITS || s->sh_flags & SHF_COMPRESSED ||
            !within(c, s->sh_offset, s->sh_size))
            return NULL;
        *ret_size = s->sh_size;
        return c->image + s->sh_offset;
    }
    return NULL;
}

static void image_map(struct rn__code *c)
{
    char exe[sizeof(c->path)] = "";
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    CLEANUP(closep) int fd = -1;
    struct stat st;
    void *p;

    /* by this name it is there even when the file has been replaced */
    fd =
        open(n > 0 && strcmp(exe, c->path) == 0 ? "/proc/self/exe" : c->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(ElfW(Ehdr)))
        return;
    p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return;
    if (memcmp(p, ELFMAG, SELFMAG) != 0 ||
        ((const unsigned char *)p)[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)) {
        munmap(p, (size_t)st.st_size);
        return;
    }
    c->image = p;
    c->size = (size_t)st.st_size;
}

/* What is mapped from `offset` of the file has the addresses of the segment there. */
static void bias_find(struct rn__code *c)
{
    const ElfW(Ehdr) *e = (const void *)c->image;
    const ElfW(Phdr) *p = (const void *)(c->image + e->e_phoff);

    if (e->e_phentsize != sizeof(*p) ||
        !within(c, e->e_phoff, (uint64_t)e->e_phnum * e->e_phentsize))
        return;
    for (size_t i = 0; i < e->e_phnum; i++)
        if (p[i].p_type == PT_LOAD &&
            c->module.offset + (c->module.end - c->module.start) > p[i].p_offset &&
            c->module.offset < p[i].p_offset + p[i].p_filesz && p[i].p_flags & PF_X)
            c->bias = c->module.start - (p[i].p_vaddr - p[i].p_offset + c->module.offset);
}

static void build_id_find(struct rn__code *c)
{
    size_t size = 0, at = 0;
    const uint8_t *note = rn__code_section(c, ".note.gnu.build-id", &size);
    ElfW(Nhdr) head;

    if (!note || size < sizeof(head))
        return;
    memcpy(&head, note, sizeof(head));
    at = sizeof(head) + ((head.n_namesz + 3u) & ~3u);
    for (size_t i = 0; i < head.n_descsz && at + i < size && 2 * i + 2 < sizeof(c->build_id); i++)
        snprintf(&c->build_id[2 * i], 3, "%02x", note[at + i]);
}

/* ---- symbols --------------------------------------------------------------------------------- */

static int by_start(const void *a, const void *b)
{
    const struct rn__symbol *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static void symbols_load(struct rn__code *c, unsigned type)
{
    const ElfW(Shdr) * table;
    size_t max = 0;

    for (size_t i = 0; (table = section_at(c, i)) && c->n_symbols == 0; i++) {
        const ElfW(Sym) *sym = (const void *)(c->image + table->sh_offset);
        if (table->sh_type != type || table->sh_entsize != sizeof(*sym) ||
            !within(c, table->sh_offset, table->sh_size))
            continue;
        for (size_t k = 0; k < table->sh_size / sizeof(*sym); k++) {
            unsigned kind = ELF64_ST_TYPE(sym[k].st_info);
            void *wider;
            if ((kind != STT_FUNC && kind != STT_GNU_IFUNC) || sym[k].st_value == 0)
                continue;
            wider = rn__table_grow(c->symbols, sizeof(*c->symbols), c->n_symbols, &max);
            if (!wider)
                return;
            c->symbols = wider;
            c->symbols[c->n_symbols++] = (struct rn__symbol){
                .start = c->bias + sym[k].st_value,
                .size = sym[k].st_size,
                .name = text_at(c, section_at(c, table->sh_link), sym[k].st_name)};
        }
    }
    if (c->n_symbols > 0)
        qsort(c->symbols, c->n_symbols, sizeof(*c->symbols), by_start);
}

static void code_load(struct rn__code *c)
{
    c->loaded = true;
    image_map(c);
    if (!c->image)
        return;
    bias_find(c);
    build_id_find(c);
    symbols_load(c, SHT_SYMTAB);
    if (c->n_symbols == 0)
        symbols_load(c, SHT_DYNSYM);
    rn__lines_load(c);
}

static const struct rn__symbol *symbol_find(const struct rn__code *c, uintptr_t pc)
{
    size_t low = 0, high = c->n_symbols;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (c->symbols[mid].start <= pc)
            low = mid + 1;
        else
            high = mid;
    }
    /* a shorter one may begin inside of a longer one */
    for (size_t i = low, n = 0; i-- > 0 && n < 8; n++) {
        const struct rn__symbol *s = &c->symbols[i];
        if (pc - s->start < s->size || (s->size == 0 && n == 0))
            return s;
    }
    return NULL;
}

/* ---- what is mapped -------------------------------------------------------------------------- */

static struct rn__code *code_of(uintptr_t pc)
{
    for (size_t i = 0; i < all.n_codes; i++)
        if (pc >= all.codes[i].module.start && pc < all.codes[i].module.end)
            return &all.codes[i];
    return NULL;
}

static void code_add(uintptr_t start, uintptr_t end, uint64_t offset, const char *path)
{
    struct rn__code *c = &all.codes[all.n_codes];

    if (all.n_codes == CODES_MAX || code_of(start))
        return;
    *c = (struct rn__code){.module = {.start = start, .end = end, .offset = offset}};
    snprintf(c->path, sizeof(c->path), "%s", path);
    c->module.path = c->path;
    c->module.build_id = c->build_id;
    all.n_codes++;
}

static void maps_read(void)
{
    CLEANUP(fclosep) FILE *f = fopen("/proc/self/maps", "re");
    char line[512];

    while (f && fgets(line, sizeof(line), f)) {
        unsigned long start, end;
        unsigned long long offset;
        char perms[5], path[400] = "";

        if (sscanf(line, "%lx-%lx %4s %llx %*s %*s %399[^\n]", &start, &end, perms, &offset,
                   path) >= 4 &&
            perms[2] == 'x' && path[0])
            code_add(start, end, offset, path);
    }
}

static struct rn__code *code_for(uintptr_t pc)
{
    struct rn__code *c = code_of(pc);

    if (!c) {
        maps_read(); /* at first, and after a library was loaded */
        c = code_of(pc);
    }
    if (c && !c->loaded)
        code_load(c);
    return c;
}

bool rn__code_at(uintptr_t pc)
{
    bool found;

    pthread_mutex_lock(&all.lock);
    if (all.n_codes == 0)
        maps_read();
    found = code_of(pc) != NULL;
    pthread_mutex_unlock(&all.lock);
    return found;
}

bool rn_module_at(size_t i, struct rn_module *ret_module)
{
    bool found;

    pthread_mutex_lock(&all.lock);
    if (all.n_codes == 0)
        maps_read();
    found = i < all.n_codes;
    if (found) {
        if (!all.codes[i].loaded)
            code_load(&all.codes[i]);
        *ret_module = all.codes[i].module;
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void look_up(uintptr_t pc, struct rn_symbol *ret)
{
    struct rn__code *c = code_for(pc);
    const struct rn__symbol *s = c ? symbol_find(c, pc) : NULL;

    *ret = (struct rn_symbol){0};
    if (s) {
        ret->name = s->name;
        ret->start = s->start;
    }
    if (c)
        (void)rn__line_find(c, pc, &ret->file, &ret->line);
}

/* Its place in the cache; NULL: there is no room, or no memory. */
static struct cached *cache_at(uintptr_t pc)
{
    if (!all.cache)
        all.cache = table_map(CACHE_SIZE * sizeof(*all.cache));
    for (size_t i = (pc * UINT64_C(0x9e3779b97f4a7c15)) >> 48; all.cache; i++) {
        struct cached *c = &all.cache[i % CACHE_SIZE];
        if (c->pc == pc)
            return c;
        if (c->pc == 0)
            return all.n_cached < CACHE_SIZE / 2 ? c : NULL;
    }
    return NULL;
}

void rn_symbol_at(uintptr_t pc, struct rn_symbol *ret_symbol)
{
    struct cached *c;

    pthread_mutex_lock(&all.lock);
    c = cache_at(pc);
    if (c && c->pc == pc) {
        *ret_symbol = c->symbol;
    } else {
        look_up(pc, ret_symbol);
        if (c) {
            *c = (struct cached){pc, *ret_symbol};
            all.n_cached++;
        }
    }
    pthread_mutex_unlock(&all.lock);
}
