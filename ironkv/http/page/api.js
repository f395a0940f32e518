// Asking this node. The token is kept for this tab only.

export class Refused extends Error {
  constructor(status, text) {
    super(text.trim() || `the node answers ${status}`);
    this.status = status;
  }
}

export function setToken(token) {
  sessionStorage.setItem("ironkv-token", token);
}

export async function ask(path, { method = "GET", wait = 4000 } = {}) {
  const token = sessionStorage.getItem("ironkv-token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { method, headers, signal: AbortSignal.timeout(wait) });
  if (!answer.ok) throw new Refused(answer.status, await answer.text());
  return answer.json();
}
