/*
 * page_owners: which table or index each page of a database belongs to, and what the pages are that belong to none: free ones, and in a
 * database with auto_vacuum the pointer maps (https://www.sqlite.org/fileformat2.html, sections 1.5 and 1.8).
 */
#ifndef LOCKSTEP_PAGE_PAGE_OWNERS_H
#define LOCKSTEP_PAGE_PAGE_OWNERS_H

#include <stddef.h>
#include <stdint.h>

struct error;

/* A table or index; "sqlite_schema" is one, too. */
struct page_tree {
    char *name;
    char *table;    /* that an index belongs to; for a table its own name */
    int is_index;
    uint32_t pages; /* of the file, overflow pages included */
};

enum page_owner { OWNER_TREE, OWNER_FREE, OWNER_POINTER_MAP, OWNER_LOCK_BYTES };

/* All zero is an empty one. */
struct page_owners {
    uint32_t page_size;
    uint32_t page_count;
    uint32_t usable;         /* bytes of a page that SQLite uses */
    int has_pointer_maps;
    struct page_tree *trees;
    size_t tree_count;
    size_t tree_room;
    uint32_t *tree_of;       /* [pgno - 1]: 1 + index in trees; 0: none */
};

/* page1: its bytes, or NULL for a database without pages. ERR_INTERNAL: memory ran out. On failure it needs no release. */
int page_owners_init(struct page_owners *owners, uint32_t page_size, uint32_t page_count, const uint8_t *page1, struct error *error);
void page_owners_release(struct page_owners *owners);

/* A page of a tree; those of one tree come one after the other. ERR_NOT_A_DATABASE for a page beyond the end. */
int page_owners_add(struct page_owners *owners, const char *name, int is_index, const char *table, uint32_t pgno, struct error *error);

/* What page pgno is; *tree is its index in trees where it is OWNER_TREE. */
enum page_owner page_owners_find(const struct page_owners *owners, uint32_t pgno, size_t *tree);

#endif
