// The rights of the signed-in token.  The controller decides; the page only
// leaves out what it would refuse.

const RANK = { viewer: 1, operator: 2, releaser: 3, admin: 4 };
let grants = [];
export let me = null;

export function know(who) {
  me = who;
  grants = String(who?.role || "").split(",").map((g) => {
    const [role, group] = g.trim().split(":");
    return { role, group };
  });
}

// group: the one that it touches; none: the whole fleet.
export function may(role, group) {
  return grants.some((g) => (RANK[g.role] || 0) >= RANK[role] && (!g.group || g.group === group));
}

// Somewhere in the fleet: the controller says of which group.
export const maySomewhere = (role) => grants.some((g) => (RANK[g.role] || 0) >= RANK[role]);

export const mayAudit = () => grants.some((g) => ["auditor", "admin"].includes(g.role));
