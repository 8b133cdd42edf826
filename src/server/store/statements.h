/* Every statement of the store, prepared once when it is first used. X(name, text). */

/* Columns as read_configuration() and read_head() take them. */
#define FT_SELECT_CONFIGURATION                                                                   \
    "SELECT name, comment, created_ms, updated_ms, revision, "                                    \
    "(SELECT max(number) FROM versions WHERE configuration = c.id) FROM configurations c "
#define FT_SELECT_HEAD                                                                            \
    "SELECT c.name, v.comment, v.number, v.hash, v.created_ms, v.id FROM versions v "             \
    "JOIN configurations c ON c.id = v.configuration "

#define FT_STORE_STATEMENTS(X)                                                                    \
    X(BEGIN_READ, "BEGIN")                                                                        \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                             \
    X(COMMIT, "COMMIT")                                                                           \
    X(ROLLBACK, "ROLLBACK")                                                                       \
    X(NEXT, "UPDATE sequences SET value = value + 1 WHERE name = ?1 RETURNING value")             \
    X(SEQUENCE, "SELECT value FROM sequences WHERE name = ?1")                                    \
    X(CONFIGURATION_ADD, "INSERT INTO configurations (name, comment, created_ms, updated_ms, "    \
                         "revision) VALUES (?1, ?2, ?3, ?3, ?4) ON CONFLICT (name) DO NOTHING")   \
    X(CONFIGURATION_TOUCH, "UPDATE configurations SET updated_ms = ?2, revision = ?3 WHERE id "   \
                           "= ?1")                                                                \
    X(CONFIGURATION_ID, "SELECT id FROM configurations WHERE name = ?1")                          \
    X(CONFIGURATION_LIST, FT_SELECT_CONFIGURATION "WHERE name > ?1 ORDER BY name LIMIT ?2")       \
    X(CONFIGURATION_GET, FT_SELECT_CONFIGURATION "WHERE name = ?1")                               \
    X(BODY_ADD, "INSERT INTO bodies (hash, body) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING")  \
    X(BODY_ID, "SELECT id FROM bodies WHERE hash = ?1")                                           \
    X(VERSION_BY_CONTENT, FT_SELECT_HEAD "WHERE v.configuration = ?1 AND v.content = ?2")         \
    X(VERSION_BY_NUMBER, FT_SELECT_HEAD "WHERE c.name = ?1 AND v.number = ?2")                    \
    X(VERSION_BY_ID, FT_SELECT_HEAD "WHERE v.id = ?1")                                            \
    X(VERSION_LIST, FT_SELECT_HEAD "WHERE v.configuration = ?1 AND v.number > ?2 ORDER BY "       \
                    "v.number LIMIT ?3")                                                          \
    X(VERSION_ADD, "INSERT INTO versions (configuration, number, hash, content, comment, "        \
                   "created_ms) SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM "    \
                   "versions WHERE configuration = ?1 RETURNING id, number")                      \
    X(OBJECT_ADD, "INSERT INTO objects (version, name, content_type, is_template, body) "         \
                  "VALUES (?1, ?2, ?3, ?4, ?5)")                                                  \
    X(OBJECTS, "SELECT o.name, o.content_type, o.is_template, b.body FROM objects o JOIN "        \
               "bodies b ON b.id = o.body WHERE o.version = ?1 ORDER BY o.name")                  \
    X(GROUP_LIST, "SELECT name, revision FROM agent_groups")                                      \
    X(GROUP_GET, "SELECT selector, priority, version, assignment, assigned_ms, revision, "        \
                 "created_ms, updated_ms FROM agent_groups WHERE name = ?1")                      \
    X(GROUP_PUT, "INSERT INTO agent_groups (name, selector, priority, version, assignment, "      \
                 "assigned_ms, revision, created_ms, updated_ms) VALUES (?1, ?2, ?3, ?4, ?5, "    \
                 "?6, ?7, ?8, ?8) ON CONFLICT (name) DO UPDATE SET selector = "                   \
                 "excluded.selector, priority = excluded.priority, version = "                    \
                 "excluded.version, assignment = excluded.assignment, assigned_ms = "             \
                 "excluded.assigned_ms, revision = excluded.revision, updated_ms = "              \
                 "excluded.updated_ms")                                                           \
    X(GROUP_ASSIGN, "UPDATE agent_groups SET version = ?2, assignment = ?3, assigned_ms = ?4, "   \
                    "revision = ?5, updated_ms = ?4 WHERE name = ?1")                             \
    X(GROUP_DELETE, "DELETE FROM agent_groups WHERE name = ?1")                                   \
    X(VARIABLES, "SELECT name, value FROM variables WHERE group_name = ?1 ORDER BY name")         \
    X(VARIABLES_CLEAR, "DELETE FROM variables WHERE group_name = ?1")                             \
    X(VARIABLE_ADD, "INSERT INTO variables (group_name, name, value) VALUES (?1, ?2, ?3)")        \
    X(AGENT_SAVE, "INSERT INTO agents (uid, sequence_num, last_seen_ms, record) VALUES (?1, "     \
                  "?2, ?3, ?4) ON CONFLICT (uid) DO UPDATE SET sequence_num = "                   \
                  "excluded.sequence_num, last_seen_ms = excluded.last_seen_ms, record = "        \
                  "excluded.record")                                                              \
    X(AGENT_LIST, "SELECT uid, sequence_num, last_seen_ms, record FROM agents WHERE uid > ?1 "    \
                  "ORDER BY uid LIMIT ?2")                                                        \
    X(AGENT_DELETE, "DELETE FROM agents WHERE uid = ?1")                                          \
    X(META_SET, "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE "    \
                "SET value = excluded.value")                                                     \
    X(META_GET, "SELECT value FROM meta WHERE name = ?1")                                         \
    X(META_DELETE, "DELETE FROM meta WHERE name = ?1")

enum ft_sql {
#define X(name, text) FT_SQL_##name,
    FT_STORE_STATEMENTS(X)
#undef X
    FT_SQL_COUNT
};
