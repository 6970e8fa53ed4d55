
"use strict";
// The page shows everything without this. It adds sorting, filters, and a closer look into the treemap.
(() => {
	const make = (tag, properties, ...children) => {
		const e = Object.assign(document.createElement(tag), properties);
		e.append(...children);
		return e;
	};
	const number = (e, attribute) => Number(e.getAttribute(attribute));
	const few = 8;

	const bySize = (a, b) => a - b;
	const byText = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
	const sortable = (table) => {
		const body = table.tBodies[0];
		table.querySelectorAll("th[data-sort]").forEach((th) => {
			const numbers = th.dataset.sort === "number";
			const button = make("button", { type: "button" });
			button.append(...th.childNodes);
			th.append(button);
			button.addEventListener("click", () => {
				const down = th.ariaSort ? th.ariaSort === "ascending" : numbers;
				table.querySelectorAll("th[aria-sort]").forEach((other) => { other.removeAttribute("aria-sort"); });
				th.setAttribute("aria-sort", down ? "descending" : "ascending");
				const key = (row) => numbers ? Number(row.cells[th.cellIndex].dataset.value) : row.cells[th.cellIndex].textContent.trim();
				const rows = [...body.rows].map((row) => [key(row), row]);
				const compare = numbers ? bySize : byText;
				rows.sort((a, b) => (down ? compare(b[0], a[0]) : compare(a[0], b[0])));
				rows.forEach(([, row]) => { row.classList.remove("again", "child"); });
				body.append(...rows.map(([, row]) => row));
			});
		});
	};

	const filterable = (table) => {
		const rows = [...table.tBodies].flatMap((body) => [...body.rows]).filter((row) => !row.classList.contains("group"));
		if (rows.length <= few) return;
		const noun = table.dataset.tools;
		const texts = rows.map((row) => {
			const group = row.parentNode.querySelector("tr.group");
			return ((group ? group.textContent + " " : "") + row.textContent).toLowerCase();
		});
		const input = make("input", { type: "search", name: "filter-" + noun, placeholder: "Filter " + noun, ariaLabel: "Filter " + noun });
		const status = make("span", { className: "quiet", role: "status" });
		input.addEventListener("input", () => {
			const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
			let shown = 0;
			rows.forEach((row, i) => {
				row.hidden = !words.every((word) => texts[i].includes(word));
				shown += row.hidden ? 0 : 1;
			});
			for (const body of table.tBodies) {
				const group = body.querySelector("tr.group");
				if (group) group.hidden = [...body.rows].every((row) => row === group || row.hidden);
			}
			status.textContent = words.length ? shown + " of " + rows.length : "";
		});
		table.closest(".scroll").before(make("div", { className: "tools" }, input, status));
	};

	document.querySelectorAll("table[data-tools]").forEach((table) => {
		sortable(table);
		filterable(table);
	});

	const svg = document.querySelector(".map svg");
	if (!svg) return;
	const attributes = ["x", "y", "width", "height"];
	const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
	const groups = [...svg.querySelectorAll("g.group")];
	const home = new Map([...svg.querySelectorAll("rect, text")].map((e) => [e, attributes.map((a) => number(e, a))]));
	const back = make("button", { type: "button", className: "back", hidden: true, textContent: "← All packages" });
	svg.parentNode.prepend(back);
	let inside = null;
	const label = (text, box, most) => { // as the page was written
		text.classList.toggle("small", 7.2 * [...text.textContent].length + 14 > number(box, "width") || number(box, "height") < most);
	};
	const show = (group) => {
		const [left, top, w, h] = group ? home.get(group.querySelector(".frame")) : [0, 0, width, height];
		for (const other of groups) {
			other.toggleAttribute("hidden", Boolean(group) && other !== group);
		}
		for (const [e, [x, y, ew, eh]] of home) {
			e.setAttribute("x", (x - left) * width / w);
			e.setAttribute("y", (y - top) * height / h);
			if (e.tagName !== "rect") continue;
			e.setAttribute("width", ew * width / w);
			e.setAttribute("height", eh * height / h);
		}
		for (const other of groups) {
			const frame = other.querySelector(".frame");
			label(other.querySelector(".title"), frame, 40);
			other.querySelectorAll(".box").forEach((box) => {
				const rect = box.querySelector("rect");
				label(box.querySelector("text"), rect, number(rect, "y") === number(frame, "y") ? 40 : 20);
			});
		}
		back.hidden = !group;
		back.textContent = group ? "← All packages (this is " + group.dataset.name + ")" : "";
		inside = group;
	};
	const leave = () => {
		const was = inside;
		show(null);
		if (was) was.focus();
	};
	groups.forEach((group) => {
		group.classList.add("zooms");
		group.setAttribute("tabindex", "0");
		group.setAttribute("role", "button");
		group.setAttribute("aria-label", group.dataset.name);
		const enter = () => { show(inside ? null : group); };
		group.addEventListener("click", enter);
		group.addEventListener("keydown", (event) => {
			if (event.key === "Enter" || event.key === " ") { event.preventDefault(); enter(); }
		});
	});
	back.addEventListener("click", leave);
	document.addEventListener("keydown", (event) => { if (event.key === "Escape" && inside) leave(); });
})();
