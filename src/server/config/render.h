/* Rendering: a group's version, with the group's variables and the agent's attributes in place of
 * its templates, becomes an ft_rendered.
 *
 * What has no template is rendered once per version; equal results of different agents are one
 * ft_rendered (a cache by hash). The cache holds a reference of its own until ft_renderer_prune()
 * finds that nobody else does.
 *
 * From: any task; nothing suspends.
 */
#pragma once

#include <model/configuration.h>
#include <model/rendered.h>
#include <model/syntax.h>

#include "config/subject.h"

struct ft_renderer;

int  ft_renderer_new(size_t message_max, struct ft_renderer **ret);
void ft_renderer_free(struct ft_renderer *r); /* NULL is fine */
void ft_renderer_freep(struct ft_renderer **r);

/* Render group->version (not NULL).
 *
 * Returns: 0 and a counted *ret; -ENOENT (a value is missing), -E2BIG (over message_max), -EINVAL
 * (syntax), each with reterr->text `OBJECT:LINE: what is wrong`; -ENOMEM. */
int ft_render(struct ft_renderer *r, const struct ft_group *group, const struct ft_subject *subject,
              struct ft_rendered **ret, struct ft_syntax_error *reterr);

/* Drop what only the cache holds. Returns how many remain. */
size_t ft_renderer_prune(struct ft_renderer *r);

/* The longest AgentRemoteConfig that fits a message of `message_max`: the rest is for what rides
 * along with it. */
size_t ft_render_wire_max(size_t message_max);
