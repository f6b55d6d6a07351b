// Of a partition without a materialization Dagster's page says "No metadata entries". Here the
// reason is put above these words. See reasons.py.
(() => {
  const EMPTY = "No metadata entries";
  const MARK = "market-assets-reason";
  const PAUSE = 5000;
  let shown = "", askedAt = 0;

  function place() {
    const asset = location.pathname.match(/^\/assets\/(.+)$/);
    const view = new URLSearchParams(location.search).get("view");
    if (!asset || view !== "partitions") return null;

    const cells = document.querySelectorAll("td");
    const cell = [...cells].find((candidate) => candidate.textContent.trim() === EMPTY);
    const table = cell && cell.closest("table");
    // The heading of the page is the partition, in full in its tooltip.
    let around = table;
    let heading = null;
    while (around && !heading) {
      around = around.parentElement;
      heading = around && around.querySelector(":scope > * > [data-tooltip]");
    }
    if (!heading) return null;
    const key = asset[1].split("/").map(decodeURIComponent);
    return {table, key, partition: heading.getAttribute("data-tooltip")};
  }

  function box(reason) {
    const element = document.createElement("div");
    element.id = MARK;
    element.style.cssText =
      "border-left: 4px solid #d24b3e; padding: 8px 12px; white-space: pre-wrap;" +
      " overflow-wrap: anywhere; font-size: 14px; background: rgba(210, 75, 62, 0.08);";
    element.append(reason.words);
    const line = document.createElement("div");
    line.style.cssText = "opacity: 0.7; margin-top: 4px;";
    line.append(reason.at);
    if (reason.run) {
      const link = document.createElement("a");
      link.href = `/runs/${reason.run}`;
      link.textContent = `run ${reason.run.split("-")[0]}`;
      line.append(", ", link);
    }
    element.append(line);
    return element;
  }

  async function look() {
    const here = place();
    const name = here ? JSON.stringify([here.key, here.partition]) : "";
    const standing = document.getElementById(MARK);
    if (name !== shown) {
      if (standing) standing.remove();
      shown = name;
      askedAt = 0;
    }
    if (!here || Date.now() - askedAt < PAUSE) return;

    askedAt = Date.now();
    const query = new URLSearchParams(here.key.map((part) => ["key", part]));
    query.set("partition", here.partition);
    const answer = await fetch(`/market_assets/reason?${query}`);
    const reason = answer.ok ? await answer.json() : null;
    if (name !== shown || !here.table.isConnected) return;
    const before = document.getElementById(MARK);
    if (before) before.remove();
    if (reason) here.table.parentElement.before(box(reason));
  }

  setInterval(() => look().catch(() => {}), 500);
})();
