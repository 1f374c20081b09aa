"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  root.classList.add("js");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const COLOURS = 8;
  const DASHES = ["solid", [7, 4], [2, 3], [10, 3, 2, 3], [4, 2], [12, 4], [1, 3], [6, 2, 2, 2, 2, 2]];
  const MARKS = ["circle", "rect", "triangle", "diamond"];
  const MARKED = 60; // points; longer lines carry no marks
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const shows = {
    number: (v) => Number(v.toPrecision(4)).toString(),
    score: (v) => v.toFixed(4),
    percent: (v) => `${(100 * v).toFixed(1)} %`,
    count: (v) => v.toLocaleString("en"),
  };
  const show = (unit) => (v) => (typeof v === "number" && isFinite(v) ? shows[unit](v) : "–");

  function series(chart, log) {
    let client = 0;
    return chart.series.map((one) => {
      const points = one.values.map((v) => (v === null || (log && v <= 0) ? "-" : v));
      const common = { name: one.name, data: points, animation: !calm.matches && points.length <= 300 };
      if (one.kind === "rejected") {
        const style = { color: "transparent", borderColor: css("--soft"), borderWidth: 1.5 };
        return { ...common, type: "scatter", symbol: "diamond", symbolSize: points.length > 300 ? 4 : 9, itemStyle: style };
      }
      const index = one.kind === "global" ? -1 : client++;
      const colour = index < 0 ? css("--ink") : css(`--c${index % COLOURS}`);
      if (chart.is_bars) {
        const edge = { color: colour, borderColor: css("--card"), borderWidth: points.length > 80 ? 0 : 1 };
        return { ...common, type: "bar", stack: "all", barMaxWidth: 46, barCategoryGap: "18%", itemStyle: edge, emphasis: { focus: "series" } };
      }
      return {
        ...common, type: "line", z: index < 0 ? 5 : 3, connectNulls: false, sampling: "lttb",
        symbol: index < 0 ? "circle" : MARKS[index % MARKS.length], symbolSize: index < 0 ? 7 : 6,
        showSymbol: points.length <= MARKED, itemStyle: { color: colour }, emphasis: { focus: "series" },
        lineStyle: { color: colour, width: index < 0 ? 3.2 : 1.9, type: index < 0 ? "solid" : DASHES[index % DASHES.length] },
      };
    });
  }

  const hasSlider = (chart) => chart.x_name === "round" && chart.x.length > 20;

  function option(chart, log) {
    const text = { color: css("--soft"), fontFamily: getComputedStyle(document.body).fontFamily };
    const rule = { lineStyle: { color: css("--line") } };
    const reading = show(chart.unit);
    return {
      textStyle: text,
      aria: { enabled: true, decal: { show: chart.is_bars, decals: decals() } },
      legend: { type: "scroll", top: 0, left: 0, itemWidth: 34, textStyle: { color: css("--ink") }, pageTextStyle: text, pageIconColor: css("--accent"), inactiveColor: dark.matches ? "#66737f" : "#98a4af" },
      grid: { left: 8, right: 18, top: 42, bottom: hasSlider(chart) ? 64 : 34, containLabel: true },
      tooltip: {
        trigger: "axis", confine: true, order: "valueDesc", valueFormatter: reading,
        backgroundColor: css("--card"), borderColor: css("--line"), textStyle: { color: css("--ink") },
        axisPointer: { type: chart.is_bars ? "shadow" : "line", label: { show: false }, lineStyle: { color: css("--soft") } },
      },
      xAxis: { type: "category", data: chart.x.map(String), name: chart.x_name, nameLocation: "middle", nameGap: 26, axisLabel: text, nameTextStyle: text, axisLine: rule, axisPointer: { label: { formatter: (at) => `${chart.x_name} ${at.value}` } }, boundaryGap: chart.is_bars || chart.x.length < 2 },
      yAxis: yAxis(chart, log, text, rule, reading),
      dataZoom: chart.x_name !== "round" ? [] : [
        { type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: true, preventDefaultMouseMove: false },
        { type: "slider", show: hasSlider(chart), height: 14, bottom: 6, brushSelect: false, showDetail: false, showDataShadow: false, borderColor: css("--line"), fillerColor: dark.matches ? "rgba(124,192,238,.22)" : "rgba(20,80,122,.16)", handleStyle: { color: css("--card"), borderColor: css("--accent") }, moveHandleSize: 0 },
      ],
      series: series(chart, log),
    };
  }

  function yAxis(chart, log, text, rule, reading) {
    const label = chart.unit === "score" ? (v) => String(Number(v.toPrecision(3))) : chart.unit === "percent" ? (v) => `${Math.round(100 * v)} %` : reading;
    const axis = { type: log ? "log" : "value", scale: !chart.is_bars, axisLabel: { ...text, formatter: label }, splitLine: rule };
    if (chart.unit === "percent") axis.max = 1;
    return axis;
  }

  function decals() {
    const color = dark.matches ? "rgba(0,0,0,.28)" : "rgba(255,255,255,.38)";
    const lines = (rotation, gap) => ({ color, symbol: "rect", symbolSize: 1, dashArrayX: [1, 0], dashArrayY: [2, gap], rotation });
    return [{ symbol: "none" }, lines(Math.PI / 4, 6), lines(-Math.PI / 4, 6), lines(0, 6), lines(Math.PI / 2, 6), lines(Math.PI / 4, 3)];
  }

  const drawn = [];
  function draw(place) {
    const chart = data.charts.find((one) => one.key === place.dataset.chart);
    const view = echarts.init(place);
    const state = { log: false };
    const paint = () => view.setOption(option(chart, state.log), true);
    if (chart.x_name === "round") view.group = "rounds";
    paint();
    new ResizeObserver(() => view.resize()).observe(place);
    place.closest("figure").querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => act(button, view, chart, state, paint)));
    drawn.push(paint);
  }

  function act(button, view, chart, state, paint) {
    if (button.dataset.do === "log") {
      state.log = !state.log;
      button.setAttribute("aria-pressed", String(state.log));
      view.setOption({ yAxis: yAxis(chart, state.log, {}, { lineStyle: { color: css("--line") } }, show(chart.unit)), series: series(chart, state.log) });
    } else if (button.dataset.do === "reset") {
      view.dispatchAction({ type: "dataZoom", start: 0, end: 100 });
    } else {
      const link = document.createElement("a");
      link.download = `${data.run}-${chart.key}.png`;
      link.href = view.getDataURL({ pixelRatio: 2, backgroundColor: css("--card") });
      link.click();
    }
  }

  async function copy(button) {
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.title);
      button.classList.add("done");
    } catch {
      getSelection().selectAllChildren(code); // no clipboard here: select it instead
    }
    setTimeout(() => button.classList.remove("done"), 1200);
  }

  function openTarget() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!(target instanceof HTMLDetailsElement)) return;
    for (let place = target; place; place = place.parentElement.closest("details")) place.open = true;
    target.scrollIntoView();
  }

  document.querySelectorAll("[data-chart]").forEach(draw);
  echarts.connect("rounds");
  dark.addEventListener("change", () => drawn.forEach((paint) => paint()));
  document.addEventListener("click", (event) => { const button = event.target.closest(".copy"); if (button) copy(button); });
  document.querySelectorAll(".glance").forEach((table) => { table.parentElement.scrollLeft = table.scrollWidth; }); // the newest rounds
  addEventListener("hashchange", openTarget);
  openTarget();
})();
