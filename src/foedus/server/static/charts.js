// Draws the charts of a page: <figure class="chart" data-chart="lines|bars|heatmap|graph"> with its values as JSON.
// docs/ui.md says what the values are. Without this script the sentence and the table in the figure tell the same.
"use strict";

(() => {
  // told apart by colour-blind people (Okabe and Ito), darker in the light and lighter in the dark
  const COLOURS = {
    light: ["#0a5ea8", "#b34a00", "#00734f", "#9b3d78", "#6b5a00", "#3a3f46", "#2f8fc9"],
    dark: ["#74b7f5", "#f2a25c", "#4fd1a5", "#e79bc8", "#e8d44d", "#d5dbe2", "#9fd8f5"],
  };
  const DASHES = ["solid", [8, 4], [2, 3], [10, 3, 2, 3], [5, 2], [14, 4]];
  const HEAT = { light: ["#f1f5fa", "#7fb2dd", "#0b3c6f"], dark: ["#1b2430", "#3f7fb8", "#d6ebff"] };
  const drawn = new Map();

  function look() {
    const chosen = document.documentElement.dataset.theme;
    const isDark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    const style = getComputedStyle(document.body);
    return {
      theme: isDark ? "dark" : "light",
      colours: COLOURS[isDark ? "dark" : "light"],
      ink: style.color,
      font: style.fontFamily,
      line: isDark ? "#303945" : "#d9dee5",
      ground: isDark ? "#191e26" : "#ffffff",
    };
  }

  // --- values ---

  // Exponential mean, corrected for its start; a gap stays a gap.
  function smooth(values, weight) {
    if (!weight) return values;
    let [last, count] = [0, 0];
    return values.map((value) => {
      if (value === null) return null;
      last = last * weight + (1 - weight) * value;
      count += 1;
      return last / (1 - weight ** count);
    });
  }

  const positive = (values, isLog) => (isLog ? values.map((v) => (v === null || v <= 0 ? null : v)) : values);

  const digits = (value) => (typeof value === "number" ? String(Number(value.toPrecision(5))) : "–");

  // --- options of each kind ---

  function common(view) {
    return {
      animation: false,
      aria: { enabled: false }, // the figure has its own words
      textStyle: { fontFamily: view.font, color: view.ink },
      tooltip: {
        confine: true,
        backgroundColor: view.ground,
        borderColor: view.line,
        textStyle: { color: view.ink },
      },
    };
  }

  function axis(view, more) {
    return {
      nameLocation: "middle",
      nameGap: 30,
      nameTextStyle: { color: view.ink },
      axisLabel: { color: view.ink, hideOverlap: true },
      axisLine: { lineStyle: { color: view.ink } },
      splitLine: { lineStyle: { color: view.line } },
      ...more,
    };
  }

  // The range from the lowest to the highest: an area from each gap to the next, drawn with the first point of it.
  function band(values, view, isLog) {
    if (!values.band || isLog) return [];
    const { low, high } = values.band;
    const isKnown = (i) => typeof low[i] === "number" && typeof high[i] === "number";
    const area = ({ dataIndex: first }, api) => {
      if (!isKnown(first) || isKnown(first - 1)) return null;
      const corners = [];
      for (let i = first; isKnown(i); i += 1) {
        corners.push(api.coord([values.x[i], high[i]]));
        corners.unshift(api.coord([values.x[i], low[i]]));
      }
      return { type: "polygon", shape: { points: corners }, style: { fill: view.colours[0], opacity: 0.16 } };
    };
    const data = values.x.map((x, i) => [x, low[i], high[i]]);
    return [{ name: "lowest to highest", type: "custom", renderItem: area, data, encode: { x: 0, y: [1, 2] }, silent: true,
      tooltip: { show: false } }];
  }

  function lines(values, view, chosen) {
    const wanted = values.series.map((one, index) => ({ ...one, index })).filter((one) => !one.quiet || chosen.quiet);
    const series = wanted.flatMap((one) => {
      const colour = view.colours[one.index % view.colours.length];
      const at = (numbers) => numbers.map((value, i) => [values.x[i], value]);
      const raw = positive(one.values, chosen.log);
      const shown = smooth(raw, chosen.smoothing);
      const hasDots = raw.filter((v) => v !== null).length < 30;
      const line = {
        name: one.name,
        type: "line",
        data: at(shown),
        showSymbol: hasDots,
        symbolSize: 5,
        connectNulls: false,
        itemStyle: { color: colour },
        lineStyle: { color: colour, width: one.quiet ? 1.2 : 2, type: DASHES[one.index % DASHES.length] },
      };
      const behind = { ...line, name: `${one.name} (raw)`, data: at(raw), showSymbol: false, silent: true,
        tooltip: { show: false }, lineStyle: { color: colour, width: 1, opacity: 0.3 } };
      // between two gaps a line has no length: a dot shows that there is a value
      const alone = at(shown).filter((_, i) => raw[i] !== null && (raw[i - 1] ?? null) === null && (raw[i + 1] ?? null) === null);
      const dots = { name: one.name, type: "scatter", data: alone, symbolSize: 4, silent: true, tooltip: { show: false },
        itemStyle: { color: colour } };
      return [...(chosen.smoothing ? [behind] : []), line, ...(hasDots ? [] : [dots])];
    });
    const [first, last] = [values.x[0], values.x.at(-1)];
    return {
      ...common(view),
      grid: { left: 62, right: 18, top: 34, bottom: 48 },
      legend: { type: "scroll", top: 0, data: wanted.map((one) => one.name), textStyle: { color: view.ink },
        pageTextStyle: { color: view.ink }, pageIconColor: view.ink, itemWidth: 34 },
      tooltip: { ...common(view).tooltip, trigger: "axis", valueFormatter: digits },
      xAxis: axis(view, { type: "value", min: first, max: Math.max(last, first + 1), minInterval: 1, name: values.x_name ?? "",
        splitLine: { show: false }, axisPointer: { label: { precision: 0 } } }),
      yAxis: axis(view, { type: chosen.log ? "log" : "value", scale: true, name: values.y_name ?? "", nameGap: 46 }),
      series: [...band(values, view, chosen.log), ...series],
    };
  }

  function bars(values, view) {
    return {
      ...common(view),
      grid: { left: 62, right: 18, top: 34, bottom: 48 },
      legend: { type: "scroll", top: 0, textStyle: { color: view.ink } },
      tooltip: { ...common(view).tooltip, trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: digits },
      xAxis: axis(view, { type: "category", data: values.x.map(String), name: values.x_name ?? "" }),
      yAxis: axis(view, { type: "value", name: values.y_name ?? "", nameGap: 46 }),
      series: values.series.map((one, index) => ({
        name: one.name,
        type: "bar",
        stack: values.stacked ? "all" : undefined,
        data: one.values,
        itemStyle: {
          color: view.colours[index % view.colours.length],
          borderColor: view.ground,
          borderWidth: 1,
          decal: index ? { symbol: ["rect", "circle", "triangle", "diamond"][index % 4], symbolSize: 0.5,
            color: "rgba(255,255,255,0.35)", dashArrayX: [1, 0], dashArrayY: [4, 4], rotation: index } : undefined,
        },
      })),
    };
  }

  function heatmap(values, view) {
    const cells = values.values.flatMap((row, y) => row.map((value, x) => [x, y, value ?? "-"]));
    const most = Math.max(1, ...cells.map((cell) => (typeof cell[2] === "number" ? cell[2] : 0)));
    return {
      ...common(view),
      grid: { left: 110, right: 18, top: 10, bottom: 84 },
      tooltip: { ...common(view).tooltip, formatter: ({ value: [x, y, v] }) => echarts.format.encodeHTML(`${values.y[y]}, ${values.x[x]}: ${v}`) },
      xAxis: axis(view, { type: "category", data: values.x.map(String), name: values.x_name ?? "", nameGap: 26 }),
      yAxis: axis(view, { type: "category", inverse: true, data: values.y.map(String), axisLabel: { color: view.ink, width: 100, overflow: "truncate" } }),
      visualMap: { min: 0, max: most, calculable: false, orient: "horizontal", left: "center", bottom: 0,
        text: [values.y_name ?? "", ""], textStyle: { color: view.ink }, inRange: { color: HEAT[view.theme] } },
      series: [{ type: "heatmap", data: cells, itemStyle: { borderColor: view.ground, borderWidth: 1 } }],
    };
  }

  // From the left to the right: everything stands one column behind the last of what it came from; what came from
  // nothing stands right before its first use. The first of each column are on one line, the others below it.
  function placed(values, width, height) {
    const column = new Map(values.nodes.map((node) => [node.id, 0]));
    for (let again = 0; again < values.nodes.length; again += 1) {
      let hasChanged = false;
      for (const { from, to } of values.links) {
        const wanted = (column.get(from) ?? 0) + 1;
        if (column.has(to) && column.get(to) < wanted && wanted <= values.nodes.length) {
          column.set(to, wanted);
          hasChanged = true;
        }
      }
      if (!hasChanged) break;
    }
    for (const { id } of values.nodes.filter((node) => !values.links.some(({ to }) => to === node.id))) {
      const uses = values.links.filter(({ from }) => from === id).map(({ to }) => column.get(to));
      if (uses.length) column.set(id, Math.min(...uses) - 1);
    }
    const rows = Map.groupBy(values.nodes, (node) => column.get(node.id));
    const last = Math.max(...rows.keys());
    const most = Math.max(...[...rows.values()].map((beside) => beside.length));
    return values.nodes.map((node) => {
      const row = rows.get(column.get(node.id)).indexOf(node);
      const x = last ? (width * column.get(node.id)) / last : width / 2;
      return { ...node, x, y: (height * (row + 0.5)) / most };
    });
  }

  function graph(values, view, chosen, chart) {
    const kinds = [...new Set(values.nodes.map((node) => node.kind ?? ""))];
    const symbols = ["circle", "rect", "diamond", "triangle"];
    const [width, height] = [chart.getWidth() - 120, chart.getHeight() - 90];
    const nodes = placed(values, width, height);
    // the corners keep the picture as large as the space for it, whatever stands in it
    const corners = [[0, 0], [width, height]].map(([x, y], i) => ({ id: `corner ${i}`, name: "", x, y, symbol: "none", silent: true }));
    return {
      ...common(view),
      legend: kinds.length > 1 ? { top: 0, data: kinds, textStyle: { color: view.ink } } : undefined,
      series: [{
        type: "graph",
        layout: "none",
        roam: "move",
        top: 40,
        bottom: 50,
        left: 60,
        right: 60,
        edgeSymbol: ["none", "arrow"],
        edgeSymbolSize: 8,
        symbolSize: Math.min(22, (0.7 * width) / new Set(nodes.map(({ x }) => x)).size),
        categories: kinds.map((name, i) => ({ name, symbol: symbols[i % symbols.length], itemStyle: { color: view.colours[i] } })),
        label: { show: true, position: "bottom", color: view.ink },
        lineStyle: { color: view.ink, opacity: 0.6, curveness: 0.08 },
        labelLayout: { hideOverlap: true },
        data: nodes.map((node) => ({ id: node.id, name: node.name, x: node.x, y: node.y,
          value: node.href, category: kinds.indexOf(node.kind ?? ""),
          cursor: node.href ? "pointer" : "default" })).concat(corners),
        links: values.links.map(({ from, to }) => ({ source: from, target: to })),
        tooltip: { formatter: ({ name, data }) => echarts.format.encodeHTML(name ?? `${data.source} → ${data.target}`) },
      }],
    };
  }

  const KINDS = { lines, bars, heatmap, graph };

  // --- taking away ---

  function save(name, href) {
    const link = document.createElement("a");
    link.href = href;
    link.download = name;
    link.click();
  }

  function asCsv(figure) {
    const cell = (shown) => {
      const text = shown === "–" ? "" : /^[=+@-]/.test(shown) && Number.isNaN(Number(shown)) ? `'${shown}` : shown;
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const rows = [...figure.querySelectorAll("table tr")];
    return rows.map((row) => [...row.cells].map((one) => cell(one.textContent.trim())).join(",")).join("\n");
  }

  function nameOf(figure) {
    const words = figure.querySelector("figcaption").textContent.toLowerCase();
    return words.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "chart";
  }

  // --- controls ---

  function button(text, whenPressed) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "bare small";
    made.textContent = text;
    made.addEventListener("click", whenPressed);
    return made;
  }

  function labelled(text, type, more, whenChanged) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type, ...more });
    input.addEventListener("input", () => whenChanged(input));
    label.append(...(type === "checkbox" ? [input, text] : [text, input]));
    return label;
  }

  function controls(figure, state) {
    const box = figure.querySelector(".controls");
    const { values, chosen } = state;
    const again = (change) => (input) => { change(input); redraw(state); };
    if (state.kind === "lines") {
      box.append(
        labelled("Smoothing", "range", { min: 0, max: 0.95, step: 0.05, value: 0 },
          again((input) => { chosen.smoothing = Number(input.value); })),
        labelled("Log scale", "checkbox", {}, again((input) => { chosen.log = input.checked; })),
      );
      if (values.series.some((one) => one.quiet)) {
        box.append(labelled("Each client", "checkbox", {}, again((input) => { chosen.quiet = input.checked; })));
      }
    }
    box.append(
      button("PNG", () => save(`${nameOf(figure)}.png`, state.chart.getDataURL({ pixelRatio: 2, backgroundColor: look().ground }))),
      button("CSV", () => save(`${nameOf(figure)}.csv`, URL.createObjectURL(new Blob([asCsv(figure)], { type: "text/csv" })))),
    );
    box.hidden = false;
  }

  // --- drawing ---

  function redraw(state) {
    state.chart.setOption(KINDS[state.kind](state.values, look(), state.chosen, state.chart), { notMerge: true });
  }

  function draw(figure) {
    const kind = figure.dataset.chart;
    if (drawn.has(figure) || !KINDS[kind]) return;
    const values = JSON.parse(figure.querySelector('script[type="application/json"]').textContent);
    const canvas = figure.querySelector(".canvas");
    canvas.hidden = false;
    const state = { kind, values, chosen: { smoothing: 0, log: false, quiet: false }, chart: echarts.init(canvas) };
    drawn.set(figure, state);
    controls(figure, state);
    redraw(state);
    if (values.group) {
      state.chart.group = values.group;
      echarts.connect(values.group);
    }
    state.chart.on("click", ({ data }) => {
      const href = kind === "graph" ? data?.value : null;
      if (typeof href === "string" && /^\/(?![/\\])/.test(href)) location.assign(href);
    });
    new ResizeObserver(() => {
      state.chart.resize();
      if (kind === "graph") redraw(state);
    }).observe(canvas);
  }

  function drawAll() {
    for (const [figure, { chart }] of drawn) {
      if (figure.isConnected) continue;
      chart.dispose();
      drawn.delete(figure);
    }
    document.querySelectorAll("figure.chart").forEach(draw);
  }

  document.addEventListener("htmx:after:swap", drawAll);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(redraw));
  drawAll();
})();
