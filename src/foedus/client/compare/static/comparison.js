"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  root.classList.add("js");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const COLOURS = 8;
  const DASHES = ["solid", [7, 4], [2, 3], [10, 3, 2, 3]];
  const MARKS = ["circle", "rect", "triangle", "diamond"];
  const MARKED = 60; // points; longer lines carry no marks
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const html = echarts.format.encodeHTML;
  const show = (v) => (typeof v === "number" && isFinite(v) ? v.toFixed(4) : "–");

  // A band is an unseen line at mean - std with the area of 2 std stacked on it; all three carry the entry's
  // name, so that the legend hides them together.
  function series(chart) {
    return chart.curves.flatMap((one, index) => {
      const colour = css(`--c${index % COLOURS}`);
      const bare = { name: one.name, type: "line", symbol: "none", silent: true, animation: false, lineStyle: { opacity: 0 }, itemStyle: { color: colour }, stack: `band${index}`, stackStrategy: "all", tooltip: { show: false } };
      const at = (pick) => one.mean.map((mean, i) => (mean === null || one.std[i] === null ? "-" : pick(mean, one.std[i])));
      const line = {
        name: one.name, type: "line", z: 4, connectNulls: false, data: one.mean.map((v) => (v === null ? "-" : v)),
        animation: !calm.matches, symbol: MARKS[index % MARKS.length], symbolSize: 6, showSymbol: one.mean.length <= MARKED,
        itemStyle: { color: colour }, lineStyle: { color: colour, width: 2.2, type: DASHES[index % DASHES.length] },
      };
      if (index === 0 && chart.key === "accuracy" && data.target !== null) {
        line.markLine = { silent: true, symbol: "none", lineStyle: { color: css("--soft"), type: "dotted" }, label: { formatter: `target ${data.target}`, position: "insideEndTop", color: css("--soft") }, data: [{ yAxis: data.target }] };
      }
      if (!one.std.some((v) => v !== null)) return [line];
      return [line, { ...bare, data: at((m, s) => m - s) }, { ...bare, data: at((m, s) => 2 * s), areaStyle: { color: colour, opacity: 0.15 } }];
    });
  }

  function reading(chart) {
    return (points) => {
      const at = points[0].dataIndex;
      const shown = new Map(points.map((point) => [point.seriesName, point.marker])); // bands share the name
      const lines = chart.curves
        .filter((one) => shown.has(one.name) && one.mean[at] !== null)
        .sort((a, b) => b.mean[at] - a.mean[at])
        .map((one) => {
          const spread = one.std[at] === null ? "" : ` ± ${show(one.std[at])}`;
          return `${shown.get(one.name)} ${html(one.name)} <b>${show(one.mean[at])}</b>${spread}`;
        });
      return [`round ${chart.x[at]}`, ...lines].join("<br>");
    };
  }

  function option(chart) {
    const text = { color: css("--soft"), fontFamily: getComputedStyle(document.body).fontFamily };
    const rule = { lineStyle: { color: css("--line") } };
    return {
      textStyle: text,
      aria: { enabled: true },
      legend: { type: "scroll", top: 0, left: 0, itemWidth: 34, data: chart.curves.map((one) => one.name), textStyle: { color: css("--ink") }, pageTextStyle: text, pageIconColor: css("--accent") },
      grid: { left: 8, right: 18, top: 42, bottom: chart.x.length > 20 ? 64 : 34, containLabel: true },
      tooltip: { trigger: "axis", confine: true, formatter: reading(chart), backgroundColor: css("--card"), borderColor: css("--line"), textStyle: { color: css("--ink") } },
      xAxis: { type: "category", data: chart.x.map(String), name: "round", nameLocation: "middle", nameGap: 26, axisLabel: text, nameTextStyle: text, axisLine: rule, boundaryGap: chart.x.length < 2 },
      yAxis: { type: "value", scale: true, axisLabel: { ...text, formatter: (v) => String(Number(v.toPrecision(3))) }, splitLine: rule },
      dataZoom: [
        { type: "inside", zoomOnMouseWheel: "ctrl", moveOnMouseWheel: false, moveOnMouseMove: true, preventDefaultMouseMove: false },
        { type: "slider", show: chart.x.length > 20, height: 14, bottom: 6, brushSelect: false, showDetail: false, showDataShadow: false, borderColor: css("--line"), handleStyle: { color: css("--card"), borderColor: css("--accent") }, moveHandleSize: 0 },
      ],
      series: series(chart),
    };
  }

  const drawn = [];
  function draw(place) {
    const chart = data.charts.find((one) => one.key === place.dataset.chart);
    const view = echarts.init(place);
    const paint = () => view.setOption(option(chart), true);
    view.group = "rounds";
    paint();
    drawn.push(paint);
    new ResizeObserver(() => view.resize()).observe(place);
    place.closest("figure").querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => act(button.dataset.do, view, chart)));
  }

  function act(what, view, chart) {
    if (what === "reset") {
      view.dispatchAction({ type: "dataZoom", start: 0, end: 100 });
      return;
    }
    const link = document.createElement("a");
    link.download = `${data.name}-${chart.key}.png`;
    link.href = view.getDataURL({ pixelRatio: 2, backgroundColor: css("--card") });
    link.click();
  }

  document.querySelectorAll("[data-chart]").forEach(draw);
  echarts.connect("rounds");
  dark.addEventListener("change", () => drawn.forEach((paint) => paint()));
})();
